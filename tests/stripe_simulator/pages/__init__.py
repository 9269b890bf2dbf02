"""The pages Stripe hosts: Checkout, the customer portal, invoices."""
