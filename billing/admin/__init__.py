"""Staff's views of billing."""

from billing.admin import operations, plans

__all__ = ["operations", "plans"]
