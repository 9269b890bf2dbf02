"""A Stripe that lives on this machine: its own process, its own state, the current API shape."""
