"""Staff's views of usage, of what limits refuse, and of satellites."""

from quotas.admin import enforcement, notices, rows, what_if

__all__ = ["enforcement", "notices", "rows", "what_if"]
