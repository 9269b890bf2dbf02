"""One customer, one worker: the lock that must be held before anything is fetched (A4)."""

from django.db import connection


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


def wait_for(name: str) -> None:
    """Wait for a named advisory lock, at most the connection's lock timeout."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def _name(customer_id: str) -> str:
    return f"stripe:{customer_id}"
