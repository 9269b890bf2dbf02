"""Staff's views of usage and of what limits refuse."""

from quotas.admin import enforcement, rows

__all__ = ["enforcement", "rows"]
