"""Django's admin for billing: one module per subject."""

from billing.admin import plans

__all__ = ["plans"]
