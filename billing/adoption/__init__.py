"""The ways in: organizations are classified before enforcement, customers of Stripe adopted."""
