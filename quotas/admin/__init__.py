"""Staff's views of usage, of what limits refuse, and of satellites."""

from quotas.admin import enforcement, leads, notices, rows, what_if

__all__ = ["enforcement", "leads", "notices", "rows", "what_if"]
