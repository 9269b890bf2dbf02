"""`python -m tests.simulation --seed N`: a world from one number, and what must hold."""
