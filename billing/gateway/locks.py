"""One customer, one worker: the lock that must be held before anything is fetched (A4)."""

from django.db import OperationalError, connection, transaction


def try_customer(customer_id: str) -> bool:
    """Take the customer's advisory lock until the transaction ends; False when somebody has it.

    dj-stripe 2.11 takes no lock between fetch and save: two workers on one customer lose updates.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [_name(customer_id)]
        )
        (taken,) = cursor.fetchone()
    return bool(taken)


def wait_for_customer(customer_id: str, *, seconds: int) -> bool:
    """Take the customer's lock, waiting for whoever has it; False when that takes too long."""
    return wait_at_most(_name(customer_id), seconds=seconds)


def wait_at_most(name: str, *, seconds: int) -> bool:
    """Take a named advisory lock until the transaction ends; False when that takes too long."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{seconds}s"])
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    except OperationalError:
        return False
    return True


def wait_for(name: str) -> None:
    """Wait for a named advisory lock, at most the connection's lock timeout."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def _name(customer_id: str) -> str:
    return f"stripe:{customer_id}"
