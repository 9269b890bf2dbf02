"""Usage beyond the allowance, and what Stripe has counted of it."""

from datetime import timedelta
from itertools import count

from billing.subscription import metering
from orgs.models import Organization
from quotas.engine import enforcement
from quotas.models import Balance, OverageReport
from quotas.reaction import overage, overage_delivery

METER = "ai_queries"
INCLUDED = 50_000
_keys = count()


def use(organization: Organization, units: int, **more) -> None:
    """A satellite reports what was used; past the limit too."""
    key = f"test-{next(_keys)}"
    enforcement.record(organization, METER, units, idempotency_key=key, **more)


def report(organization: Organization) -> None:
    """What the task does every 30 seconds, once, with no wait between tries."""
    overage.take_stock(organization)
    organization.overage_reports.update(next_attempt_at="2020-01-01T00:00:00Z")
    overage_delivery.deliver(organization)


def report_until_sent(organization: Organization, tries: int = 60) -> None:
    for _ in range(tries):
        report(organization)
        if not organization.overage_reports.filter(state=OverageReport.State.WAITING).exists():
            return
    raise AssertionError("reports are still waiting")


def counted(organization: Organization) -> int:
    """Stripe's sum over all of the customer's time."""
    meter = metering.of(organization)[METER]
    start = meter.since - timedelta(days=1)
    found = metering.counted(METER, meter.customer_id, start, start + timedelta(days=800))
    assert found is not None
    return int(found)


def in_balances(organization: Organization) -> int:
    rows = Balance.objects.filter(organization=organization, meter=METER)
    return sum(rows.values_list("overage", flat=True))


def reports(organization: Organization, *states: str) -> list[int]:
    found = organization.overage_reports.order_by("period_start", "number")
    if states:
        found = found.filter(state__in=states)
    return list(found.values_list("units", flat=True))
