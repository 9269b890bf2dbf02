"""What the door to Stripe tells Prometheus."""

from prometheus_client import Histogram

STRIPE_SECONDS = Histogram(
    "ledgerline_stripe_seconds",
    "Calls to Stripe by our name for them, retries of the SDK included.",
    ["call", "outcome"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)
