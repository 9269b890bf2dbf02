"""After a downgrade: what exceeds the limits is named to the host and on the page, and kept."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from billing import catalog
from billing import tasks as billing_tasks
from billing.catalog import loading
from billing.catalog.apply import apply
from billing.entitlement import clock, store
from billing.models import BillingAccount, Invoice, PlanPrice, Source, Subscription
from quotas import allowances, tasks
from quotas.engine import enforcement
from quotas.exceptions import QuotaExceeded
from quotas.models import Balance, LimitAdjustment
from quotas.notices import delivery, endpoints
from tests.factories.orgs import OrganizationFactory, owner_of
from tests.factories.quotas import SatelliteFactory
from tests.quotas import receiver as receivers

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def receiver(settings):
    settings.NOTICES_TO_LOOPBACK = True
    with receivers.listening() as found:
        endpoints.add(SatelliteFactory.create(), found.url, events=["usage.over_limit"])
        yield found


def on_pro():
    """A container host's customer with a paid subscription, on a clock of its own."""
    apply(catalog.current(), None, {})
    team = OrganizationFactory.create()
    price = PlanPrice.objects.on_sale().filter(plan__key="pro").first()
    price.stripe_price_id = "price_pro"
    price.save()
    now = timezone.now()
    account = {"stripe_customer_id": "cus_1", "frozen_at": now - 20 * DAY}
    BillingAccount.objects.update_or_create(organization=team, defaults=account)
    Subscription.objects.create(
        organization=team,
        stripe_id="sub_1",
        customer_id="cus_1",
        price_id="price_pro",
        quantity=1,
        status="active",
        livemode=False,
        currency="usd",
        interval="month",
        created_at=now - 60 * DAY,
        current_period_start=now - 30 * DAY,
        current_period_end=now,
    )
    store.rederive(team, cause="test")
    return team


def owes(team):
    now = timezone.now()
    Invoice.objects.create(
        organization=team,
        stripe_id="in_1",
        customer_id="cus_1",
        subscription_id="sub_1",
        number="1",
        status="open",
        billing_reason="subscription_cycle",
        currency="usd",
        subtotal=900,
        total=900,
        amount_due=900,
        amount_paid=0,
        amount_remaining=900,
        attempt_count=1,
        created_at=now - 20 * DAY,
        finalized_at=now - 20 * DAY,
        period_start=now - 30 * DAY,
        period_end=now,
    )
    Subscription.objects.update(status="past_due")
    store.rederive(team, cause="test")


def days_pass(team, days):
    set_clock(team, clock.now_for(team) + timedelta(days=days))
    billing_tasks.announce_transitions()


def set_clock(team, at):
    account = BillingAccount.objects.get(organization=team)
    account.frozen_at = at
    account.save()


def told(receiver):
    for endpoint_id in delivery.due():
        delivery.deliver(endpoint_id)
    return [notice["data"]["over"] for notice in receiver.of_type("usage.over_limit")]


def test_when_grace_ends_the_host_is_told_to_stop_three_of_eight_containers(settings, receiver):
    settings.CATALOG = "containers"
    team = on_pro()
    enforcement.consume(team, "containers", 8, idempotency_key="eight").or_raise()
    enforcement.consume(team, "agents", 2, idempotency_key="two")
    owes(team)
    assert told(receiver) == []

    days_pass(team, days=8)

    (over,) = told(receiver)
    named = [(e["meter"], e["used"], e["limit"], e["surplus"], e["policy"]) for e in over]
    assert named == [
        ("containers", 8, 5, 3, "stop_surplus"),
        ("agents", 2, 0, 2, "stop_surplus"),
    ]
    assert Balance.objects.get(organization=team, meter="containers").used == 8

    enforcement.release_amount(team, "containers", 3)
    enforcement.release_amount(team, "agents", 2)
    tasks.roll_up_usage()
    assert told(receiver)[1:] == [[]]


def test_an_override_that_ends_by_itself_is_noticed_though_nobody_asks(settings, receiver):
    settings.CATALOG = "containers"
    team = on_pro()
    ends = clock.now_for(team) + DAY
    allowances.adjust_limit(
        team, "containers", LimitAdjustment.Mode.SET, 20, reason="a week of tests",
        starts_at=ends - 2 * DAY, ends_at=ends,
    )  # fmt: skip
    enforcement.consume(team, "containers", 15, idempotency_key="a").or_raise()
    set_clock(team, ends + DAY)

    tasks.sweep_notices()

    (over,) = told(receiver)
    assert [(each["meter"], each["surplus"]) for each in over] == [("containers", 5)]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("block_new", "nothing new is added until it fits"),
        ("stop_surplus", "What exceeds the limit is stopped"),
        ("freeze_newest", "The newest can be read"),
        ("owner_chooses", "Choose what to give up"),
        ("flag", "It keeps working"),
    ],
)
def test_every_policy_is_told_named_on_the_page_and_deletes_nothing(
    settings, receiver, tmp_path, policy, words
):
    text = loading.path_of("containers").read_text(encoding="utf-8")
    edited = tmp_path / "edited.toml"
    edited.write_text(text.replace('"stop_surplus"', f'"{policy}"'), encoding="utf-8")
    settings.CATALOG = str(edited)
    team = on_pro()
    enforcement.consume(team, "containers", 8, idempotency_key="eight").or_raise()
    Subscription.objects.update(status="canceled")
    store.rederive(team, cause="test")

    (over,) = told(receiver)
    client = Client()
    client.force_login(owner_of(team))
    page = client.get(f"/o/{team.slug}/settings/usage/").content.decode()

    assert [(each["surplus"], each["policy"]) for each in over] == [(3, policy)]
    assert "Over the limit" in page
    assert "3 more than the limit of 5." in page
    assert words in page
    assert Balance.objects.get(organization=team, meter="containers").used == 8
    with pytest.raises(QuotaExceeded):
        enforcement.consume(team, "containers", 1, idempotency_key="nine").or_raise()
    assert store.current(team).source == Source.DEFAULT
