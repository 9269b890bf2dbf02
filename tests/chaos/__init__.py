"""`python -m tests.chaos`: exact at the limit from many processes, and whole after every kill."""
