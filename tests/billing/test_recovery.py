"""After a restore from backup: Stripe is asked again, and no number is given out twice (H2)."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing.entitlement import store
from billing.models import CheckoutIntent
from quotas.engine import counters, enforcement
from quotas.engine.restoring import LEAP
from quotas.models import QuotaHead
from tests.factories.orgs import OrganizationFactory
from tests.factories.quotas import limited

pytestmark = pytest.mark.django_db


def recovered():
    out = StringIO()
    call_command("recover", restored=True, stdout=out)
    return out.getvalue()


def next_id():
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('billing_inboxevent', 'id'))")
        return cursor.fetchone()[0]


def test_who_paid_after_the_backup_has_the_plan_again(stripe, redis_server):
    lost = OrganizationFactory.create()
    stripe.buy(lost)
    CheckoutIntent.objects.filter(organization=lost).delete()  # made after the backup

    said = recovered()

    assert store.current(lost).plan.key == "pro"
    assert "Ledger, balances and roll-ups say the same" in said


def test_what_was_given_out_after_the_backup_is_not_given_out_again(stripe, redis_server):
    team = limited(storage=10)
    enforcement.consume(team, "storage", 4, idempotency_key="before")
    place = (team.pk, "storage", "")
    now = enforcement.reading_of(team.pk, "storage")
    counters.store({place: now._replace(sequence=now.sequence + 50, used=10)})
    counters.forget_locally()
    first, head = next_id(), QuotaHead.objects.get(organization=team).sequence

    said = recovered()

    counters.forget_locally()
    assert enforcement.check(team, "storage", 6).allowed
    assert QuotaHead.objects.get(organization=team).sequence == head + LEAP
    assert next_id() > first + 100_000
    assert "is not in this backup" in said


def test_nobody_recovers_by_accident():
    with pytest.raises(CommandError, match="--restored"):
        call_command("recover")
