"""What time it is for an organization (DESIGN, Time)."""

from datetime import datetime

from django.db import connection

from billing.models import BillingAccount
from orgs.models import Organization


def now_for(organization: Organization) -> datetime:
    """The customer's frozen test clock where it has one, else PostgreSQL's clock (C16)."""
    frozen = (
        BillingAccount.objects.filter(organization=organization)
        .values_list("frozen_at", flat=True)
        .first()
    )
    return frozen or database_now()


def database_now() -> datetime:
    """The wall clock of the database, which all processes share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found
