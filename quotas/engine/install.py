"""Keeps the functions in PostgreSQL the same as the files beside this one.

They are code, not schema: every `migrate` installs them anew, so that a changed decision needs no
migration. A changed signature does: it drops the former function first.
"""

from pathlib import Path
from typing import Any

from django.db import connections, transaction

SQL = Path(__file__).resolve().parent / "sql"
FILES = (
    "usage_period", "usage_credits", "usage_verdict", "apply_usage", "apply_usage_line",
    "apply_usage_set", "settle_usage", "read_usage",
)  # fmt: skip


def install(using: str = "default", **kwargs: Any) -> None:
    """Connected to post_migrate. Replacing a function does not disturb calls that are running."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SELECT to_regclass('quota_head')")
        if cursor.fetchone() == (None,):
            return  # migrated back to before the tables
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('quotas.engine.install'))")
        for name in FILES:
            cursor.execute((SQL / f"{name}.sql").read_text())
