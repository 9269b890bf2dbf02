"""The properties of billing stand on the same simulated Stripe as its tests."""

from tests.billing.conftest import calm, published, stripe

__all__ = ["calm", "published", "stripe"]
