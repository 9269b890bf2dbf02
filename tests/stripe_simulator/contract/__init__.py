"""The installed Stripe SDK is the specification: its endpoints, parameters and response types."""
