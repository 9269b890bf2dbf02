"""Staff's views of billing."""

from billing.admin import mirror, operations, plans

__all__ = ["mirror", "operations", "plans"]
