"""Units over the limit under load, a meter endpoint that fails half the time, a day without it."""

import threading
import time

import pytest

from quotas.engine import enforcement
from tests.billing import overage
from tests.billing.overage import INCLUDED, METER, counted, in_balances, reports
from tests.billing.racing import at_once
from tests.billing.subscribed import on_pro, pass_days

ENDPOINT = "POST /v1/billing/meter_events"
KINDS = ("timeout_after_processing", "http_500", "reset_connection")
# Of each kind; together half of all requests fail, and the SDK asks twice.
SHARE = 0.2
A_DAY_AND_AN_HOUR = 25 / 24


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("units", "workers"),
    [
        pytest.param(240, 3, id="short"),
        pytest.param(10_000, 8, id="full size", marks=pytest.mark.verify),
    ],
)
def test_stripes_sum_equals_the_ledger_exactly(stripe, report, units, workers):
    organization = on_pro(stripe)
    enforcement.record(organization, METER, INCLUDED, idempotency_key="included")
    for kind in KINDS:
        stripe.simulator.fault(ENDPOINT, kind, times=10**6, share=SHARE)
    began = time.monotonic()

    load(organization, units // 2, workers)
    overage.report(organization)
    pass_days(stripe, organization, A_DAY_AND_AN_HOUR)  # nobody reports; Stripe forgets names
    load(organization, units - units // 2, workers)
    overage.report_until_sent(organization, tries=400)

    assert counted(organization) == in_balances(organization) == units
    assert sum(reports(organization, "sent")) == units
    tries = sum(organization.overage_reports.values_list("attempts", flat=True))
    made = organization.overage_reports.count()
    report(f"{units} units over the limit: {made} reports, {tries} tries, "
           f"{time.monotonic() - began:.0f} s")  # fmt: skip


def load(organization, units, workers):
    """Workers consume one unit at a time, while another reports what it finds."""
    share = [units // workers + (number < units % workers) for number in range(workers)]
    working = threading.Semaphore(0)

    def act(number):
        if number == workers:
            return _report_until_done(organization, working, workers)
        for unit in range(share[number]):
            key = f"{threading.get_ident()}-{number}-{unit}-{time.monotonic_ns()}"
            enforcement.consume(organization, METER, 1, idempotency_key=key)
        working.release()
        return 0

    at_once(workers + 1, act)


def _report_until_done(organization, working, workers):
    done = 0
    while done < workers:
        overage.report(organization)
        done += working.acquire(blocking=False)
    return done
