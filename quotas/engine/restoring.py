"""After a restore from backup: nobody outside may take what is new for what they have seen."""

from datetime import datetime
from typing import Final

from django.db import connection, transaction

from quotas.engine import counters

# More than any organization decides between a backup and its restore.
LEAP: Final = 2**32
_ROWS: Final = 1_000_000

_HEADS = """
UPDATE quota_head SET sequence = sequence + %s, limits_sequence = sequence + %s
RETURNING organization_id, sequence
"""
_SERIALS = """
SELECT setval(format('%%I.%%I', schemaname, sequencename)::regclass, last_value + %s)
FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL
"""


def leap() -> int:
    """Numbers that were given out after the backup are not given out again. Returns the heads.

    Ids of events, sequence numbers of notices and the ids of rows, which are in idempotency keys
    at Stripe, all begin beyond them; readings in Redis, whatever they hold, are void.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_HEADS, [LEAP, LEAP])
        heads = cursor.fetchall()
        cursor.execute("UPDATE notice_state SET sequence = sequence + %s", [LEAP])
        cursor.execute(_SERIALS, [_ROWS])
    for organization, sequence in heads:
        counters.forget(organization, sequence)
    return len(heads)


def recorded_until() -> datetime | None:
    """The newest row of the ledger: usage that was acknowledged later is not in the backup."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(recorded_at) FROM usage_event")
        (newest,) = cursor.fetchone() or (None,)
    return newest
