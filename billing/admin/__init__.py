"""Staff's views of billing."""

from billing.admin import (
    downloads,
    drift,
    evidence,
    grants,
    licence,
    mirror,
    numbers,
    operations,
    plans,
    publishing,
)

__all__ = [
    "downloads",
    "drift",
    "evidence",
    "grants",
    "licence",
    "mirror",
    "numbers",
    "operations",
    "plans",
    "publishing",
]
