"""Stripe's endpoints: one module per family."""
