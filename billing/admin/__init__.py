"""Staff's views of billing."""

from billing.admin import downloads, drift, grants, mirror, operations, plans

__all__ = ["downloads", "drift", "grants", "mirror", "operations", "plans"]
