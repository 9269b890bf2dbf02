"""How things become what they are: payments, invoices, subscriptions, Checkout, time."""
