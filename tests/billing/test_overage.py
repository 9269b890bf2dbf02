"""Soft usage beyond the allowance: Stripe counts each unit once, and charges what the page says."""

import re
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.test import Client

from billing.catalog.money import format_money
from billing.entitlement.store import current
from billing.gateway import stripe_api
from billing.models import BillingAccount, Subscription
from billing.subscription import changes, trials
from billing.subscription.wishes import Wish
from quotas.engine import enforcement, limits
from quotas.models import OverageReport, UsageControl
from quotas.reaction import overage
from quotas.reading import usage
from tests.billing.overage import (
    INCLUDED,
    METER,
    counted,
    in_balances,
    report,
    reports,
    use,
)
from tests.billing.subscribed import on_pro, pass_days
from tests.factories.orgs import OrganizationFactory, owner_of

pytestmark = pytest.mark.django_db
SENT, WAITING, WAIVED = "sent", "waiting", "waived"


def page_of(organization):
    client = Client()
    client.force_login(owner_of(organization))
    answer = client.get(f"/o/{organization.slug}/settings/usage/")
    assert answer.status_code == 200
    return answer.content.decode()


def fact(html, label):
    return re.search(rf"<dt>{label}</dt><dd[^>]*>([^<]+)", html)[1].strip()


@pytest.mark.parametrize("currency", ["usd", "vnd"])
def test_the_page_says_what_the_renewal_charges(stripe, currency):
    organization = on_pro(stripe, currency=currency, seats=2)
    use(organization, INCLUDED + 12_345)
    report(organization)
    pass_days(stripe, organization, 20)
    use(organization, 777)
    report(organization)
    shown = fact(page_of(organization), "Extra usage")
    api = usage.body(usage.of(organization))["cost"]

    pass_days(stripe, organization, 12)

    renewal = organization.invoices.newest_first().first()
    [line] = [line for line in renewal.lines if line["quantity"] == 13_122]
    assert shown == format_money(line["amount"], currency)
    assert (api["extra"], api["currency"]) == (line["amount"], currency)
    assert renewal.amount_paid == renewal.total == line["amount"] + _of_plan(organization)
    assert stripe.simulator.violations() == []


def test_units_within_the_allowance_are_reported_to_nobody(stripe):
    organization = on_pro(stripe)

    use(organization, INCLUDED)
    report(organization)

    assert reports(organization) == []
    assert counted(organization) == 0


def test_each_unit_is_reported_once_whatever_comes_between(stripe):
    organization = on_pro(stripe)
    for units in (INCLUDED + 5, 1, 2, 3):
        use(organization, units)
        report(organization)
        report(organization)

    assert reports(organization, SENT) == [5, 1, 2, 3]
    assert counted(organization) == in_balances(organization) == 11


@pytest.mark.parametrize("kind", ["timeout_after_processing", "http_500", "reset_connection"])
def test_a_lost_answer_is_asked_for_again_under_the_same_name(stripe, kind):
    organization = on_pro(stripe)
    use(organization, INCLUDED + 40)
    stripe.simulator.fault("POST /v1/billing/meter_events", kind, times=2)

    report(organization)
    doubted = reports(organization, WAITING)
    stripe.simulator.clear_faults()
    report(organization)

    assert doubted == [40]
    assert reports(organization, SENT) == [40]
    assert counted(organization) == 40


@pytest.mark.parametrize("arrived", [True, False])
def test_a_day_later_stripes_own_count_is_read_before_anything_is_sent_again(stripe, arrived):
    organization = on_pro(stripe)
    use(organization, INCLUDED + 40)
    kind = "timeout_after_processing" if arrived else "http_500"
    stripe.simulator.fault("POST /v1/billing/meter_events", kind, times=2)
    report(organization)
    pass_days(stripe, organization, 25 / 24)  # Stripe has forgotten the name
    stripe.simulator.clear_faults()

    report(organization)

    assert counted(organization) == 40
    assert reports(organization, SENT) == [40]


def test_a_count_that_fits_nothing_is_left_to_a_person(stripe):
    organization = on_pro(stripe)
    use(organization, INCLUDED + 40)
    stripe.simulator.fault("POST /v1/billing/meter_events", "timeout_after_processing", times=2)
    report(organization)
    OverageReport.objects.update(units=41)  # somebody else counted there too
    pass_days(stripe, organization, 25 / 24)

    report(organization)

    assert reports(organization, WAITING) == [41]
    assert "Stripe counts 40" in OverageReport.objects.get().last_error


def test_a_release_takes_back_what_was_reported(stripe):
    organization = on_pro(stripe)
    use(organization, INCLUDED)
    enforcement.consume(organization, METER, 30, idempotency_key="taken back")
    report(organization)

    enforcement.release(organization, idempotency_key="taken back")
    report(organization)

    assert reports(organization, SENT) == [30, -30]
    assert counted(organization) == in_balances(organization) == 0


def test_units_of_the_last_hour_are_on_the_invoice_of_their_period(stripe):
    organization = on_pro(stripe)
    use(organization, INCLUDED + 1000)
    edge = Subscription.objects.get().current_period_end
    stripe.simulator.advance(
        customer=stripe.customer_of(organization), to=int(edge.timestamp()) + 600
    )
    stripe.deliver_all(organization)  # the renewal's invoice is a draft now

    report(organization)
    pass_days(stripe, organization, 0.1)

    renewal = organization.invoices.newest_first().first()
    assert [line["amount"] for line in renewal.lines if line["quantity"] == 1000] == [40]


def test_a_month_that_began_on_the_31st_is_still_billed_when_the_next_began_on_the_28th(stripe):
    organization = OrganizationFactory.create()
    account = BillingAccount.objects.filter(organization=organization)
    account.update(frozen_at=datetime(2026, 1, 31, 9, 30, tzinfo=UTC))
    stripe.buy(organization)
    stripe.deliver_all(organization)
    use(organization, INCLUDED + 7)

    pass_days(stripe, organization, 30)
    report(organization)

    assert current(organization).period_start == datetime(2026, 2, 28, 9, 30, tzinfo=UTC)
    assert (reports(organization, SENT), counted(organization)) == ([7], 7)


def test_what_comes_later_goes_with_the_next_invoice(stripe):
    organization = on_pro(stripe)
    use(organization, INCLUDED + 1000)
    pass_days(stripe, organization, 31)
    first = organization.invoices.newest_first().first()

    report(organization)
    pass_days(stripe, organization, 31)

    second = organization.invoices.newest_first().first()
    assert 40 not in [line["amount"] for line in first.lines]
    assert [line["amount"] for line in second.lines if line["quantity"] == 1000] == [40]


def test_a_cap_is_exact_also_for_usage_that_is_reported_after_the_fact(stripe):
    organization = on_pro(stripe)
    UsageControl.objects.create(
        organization=organization, meter=METER, choice="bill", cap=100, currency="usd"
    )
    _derive(organization)

    use(organization, INCLUDED + 9_000)  # 100 cents buy 2,500
    report(organization)

    assert reports(organization, SENT) == [2_500]
    assert reports(organization, WAIVED) == [6_500]
    assert counted(organization) == 2_500
    assert usage.of(organization).reading(METER).extra.so_far == 100


def test_who_wants_no_overage_is_never_billed_any(stripe):
    organization = on_pro(stripe)
    use(organization, INCLUDED + 100)
    report(organization)
    UsageControl.objects.create(organization=organization, meter=METER, choice="stop")
    _derive(organization)

    use(organization, 50)
    report(organization)

    assert reports(organization, SENT) == [100]
    assert reports(organization, WAIVED) == [50]


def test_what_waited_too_long_goes_with_the_invoice_of_now(stripe):
    organization = on_pro(stripe)
    use(organization, INCLUDED + 60)
    overage.take_stock(organization)
    pass_days(stripe, organization, 36)  # an instant of then would be refused

    report(organization)

    sent = OverageReport.objects.get()
    assert sent.event_at > sent.period_end
    assert counted(organization) == 60


def test_what_nobody_is_left_to_pay_is_written_off(stripe):
    organization = on_pro(stripe)
    use(organization, INCLUDED + 60)
    overage.take_stock(organization)
    subscription = Subscription.objects.get()
    stripe_api.cancel_subscription(subscription.stripe_id, key="ended elsewhere")
    stripe.deliver_all(organization)

    report(organization)

    assert OverageReport.objects.get().reason == OverageReport.Reason.ENDED


def test_a_trial_is_billed_nothing(stripe):
    organization = OrganizationFactory.create()
    stripe.start_checkout(organization)  # a customer, and no subscription
    trials.start(organization, owner_of(organization), "pro")

    use(organization, INCLUDED + 60)
    report(organization)

    assert reports(organization) == []
    assert usage.of(organization).reading(METER).extra is None


def test_another_interval_bills_what_was_used_so_far_once(stripe):
    organization = on_pro(stripe, days=3)
    use(organization, INCLUDED + 5_000)

    changes.change(organization, owner_of(organization), Wish(interval="year"))

    invoice = organization.invoices.newest_first().first()
    assert [line["amount"] for line in invoice.lines if line["quantity"] == 5_000] == [200]
    pass_days(stripe, organization, 366)
    renewal = organization.invoices.newest_first().first()
    assert renewal.total == 6_000  # and not billed again with the year


def test_reconcile_compares_what_was_reported(stripe, capsys):
    organization = on_pro(stripe)
    use(organization, INCLUDED + 60)
    report(organization)
    call_command("usage", "reconcile", "--organization", organization.slug)
    agreed = capsys.readouterr().out
    OverageReport.objects.update(period_start="2020-01-01T00:00:00Z")

    with pytest.raises(SystemExit):
        call_command("usage", "reconcile", "--organization", organization.slug)

    assert "agree" in agreed
    assert "reported overage" in capsys.readouterr().out


def _derive(organization):
    limits.derive(organization, current(organization))


def _of_plan(organization):
    subscription = Subscription.objects.get(organization=organization)
    each = {"usd": 600, "vnd": 150_000}[subscription.currency]
    return each * subscription.quantity
