"""A team that bills by Stripe already comes in with its customers and subscriptions."""

import csv

import pytest
from django.core.management import call_command

from billing.adoption import adopt
from billing.entitlement import store
from billing.gateway import stripe_api
from billing.models import BillingAccount, PlanPrice, Subscription
from orgs.models import AuditEntry
from tests.factories.orgs import OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(published, settings):
    """An account that was billing before us: its customers have no test clocks."""
    published.set_delivery("hold")
    settings.STRIPE_TEST_CLOCKS = False
    return published


def customer(*, email="", metadata=None, price=None, quantity=3, times=1):
    v1 = stripe_api.client().v1
    made = v1.customers.create({"email": email or "x@gmail.com", "metadata": metadata or {}})
    for _ in range(times if price else 0):
        method = v1.payment_methods.attach("pm_card_visa", {"customer": made.id})
        v1.subscriptions.create(
            {
                "customer": made.id,
                "items": [{"price": price, "quantity": quantity}],
                "default_payment_method": method.id,
            }
        )
    return made.id


def pro():
    return (
        PlanPrice.objects.on_sale()
        .get(plan__key="pro", interval="month", currency="usd")
        .stripe_price_id
    )


def own_price():
    v1 = stripe_api.client().v1
    product = v1.products.create({"name": "Legacy"})
    return v1.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount": 900,
            "recurring": {"interval": "month"},
        }
    ).id


def team(slug, owner="", **fields):
    owner = UserFactory.create(email=owner or f"boss@{slug}.example")
    return OrganizationFactory.create(slug=slug, owner=owner, **fields)


def judged(*rows, **options):
    return {match.resident.id: match for match in adopt.matches(rows, **options)}


def test_customers_are_recognized_by_metadata_address_domain_and_file(account):
    acme, brick, cedar, delta = (team(slug) for slug in ("acme", "brick", "cedar", "delta"))
    ids = {
        customer(metadata={"workspace": "acme"}, price=pro()): (acme, "metadata", []),
        customer(email="Boss@brick.example", price=pro()): (brick, "email", []),
        customer(email="ap@cedar.example", price=pro()): (cedar, "domain", ["by_domain"]),
        customer(email="nobody@nowhere.example", price=pro()): (None, "", ["nobody"]),
        customer(email="someone@gmail.com", price=pro()): (None, "", ["nobody"]),
    }
    named = customer(price=pro())
    ids[named] = (delta, "file", [])

    found = judged({"customer": named, "organization": "delta"}, metadata_key="workspace")

    assert {pk: (match.organization, match.by, match.doubts) for pk, match in found.items()} == ids


def test_every_doubt_is_named(account, settings):
    team("acme", owner="ceo@twice.example")
    team("brick", owner="cfo@twice.example")
    cedar = team("cedar")
    BillingAccount.objects.filter(organization=team("delta")).update(stripe_customer_id="cus_own")
    payer = team("elm")
    BillingAccount.objects.filter(organization=payer).update(stripe_customer_id="cus_paying")
    Subscription.objects.create(
        organization=payer, stripe_id="sub_x", customer_id="cus_paying", status="active",
        livemode=False, currency="usd", created_at=payer.created_at,
    )  # fmt: skip
    fern = customer(email="boss@fern.example", price=pro())
    BillingAccount.objects.filter(organization=cedar).update(stripe_customer_id=fern)
    team("fern")
    expected = {
        customer(email="it@twice.example", price=pro()): {"several"},
        customer(email="boss@delta.example", price=own_price()): {"replaces", "unknown_price"},
        customer(email="boss@elm.example", price=pro()): {"pays_already"},
        customer(email="ceo@twice.example"): {"no_subscription"},
        customer(email="cfo@twice.example", price=pro(), times=2): {"many_subscriptions"},
    }

    found = judged()

    for pk, doubts in expected.items():
        assert set(found[pk].doubts) == doubts
        assert not found[pk].stands([])
    settings.STRIPE_LIVE_MODE = True
    assert all("other_mode" in match.doubts for match in judged().values())


def test_two_paying_customers_of_one_organization_are_left_to_a_person(account):
    team("acme")
    one = customer(email="boss@acme.example", price=pro())
    other = customer(metadata={"organization": "acme"}, price=pro())

    found = judged()

    assert "contested" in found[one].doubts
    assert "contested" in found[other].doubts


def test_the_dry_run_changes_nothing_and_applying_brings_plan_and_customer(
    account, tmp_path, capsys
):
    acme, cedar = team("acme"), team("cedar")
    ours = customer(email="boss@acme.example", price=pro(), quantity=7)
    guessed = customer(email="ap@cedar.example", price=pro())
    out = tmp_path / "judged.csv"

    call_command("billing", "adopt", "--out", str(out))

    with out.open(newline="") as source:
        rows = {row["customer"]: row for row in csv.DictReader(source)}
    assert rows[ours]["result"] == "would be adopted"
    assert rows[guessed]["doubts"].startswith("by_domain: only the domain")
    assert not BillingAccount.objects.exclude(stripe_customer_id=None).exists()

    call_command("billing", "adopt", "--apply")

    effective = store.current(acme)
    assert (effective.plan.key, effective.source, effective.seats) == ("pro", "stripe", 7)
    acme.billing_account.refresh_from_db()
    assert acme.billing_account.stripe_customer_id == ours
    told = stripe_api.client().v1.customers.retrieve(ours).metadata
    assert told["organization"] == str(acme.pk)
    assert AuditEntry.objects.filter(action="billing.customer_adopted").count() == 1
    assert store.current(cedar).source == "default", "a doubt keeps it out"

    call_command("billing", "adopt", "--apply", "--accept", "by_domain")

    assert store.current(cedar).plan.key == "pro"
    assert "1 adopted, 1 already" in capsys.readouterr().out


def test_a_run_that_stripe_interrupts_is_finished_by_the_next_one(account, capsys):
    acme = team("acme")
    customer(email="boss@acme.example", price=pro())
    account.fault("POST /v1/customers/*", "http_500", times=2)

    with pytest.raises(SystemExit):
        call_command("billing", "adopt", "--apply")
    assert "failed, run again" in capsys.readouterr().out
    assert store.current(acme).source == "default"
    account.clear_faults()

    call_command("billing", "adopt", "--apply")

    assert store.current(acme).source == "stripe"
    assert AuditEntry.objects.filter(action="billing.customer_adopted").count() == 1


def test_a_line_of_the_file_vouches_for_what_can_be_vouched_for(account, tmp_path):
    acme = team("acme")
    BillingAccount.objects.filter(organization=acme).update(
        stripe_customer_id="cus_never_used", frozen_at=acme.created_at, test_clock_id="clock_1"
    )
    old = customer(email="x@gmail.com", price=pro())
    file = tmp_path / "known.csv"
    file.write_text(f"customer,organization\n{old},acme\ncus_unknown,acme\n{old},\n")

    call_command("billing", "adopt", str(file), "--apply")

    acme.billing_account.refresh_from_db()
    assert acme.billing_account.stripe_customer_id == old
    assert acme.billing_account.frozen_at is None
    assert store.current(acme).plan.key == "pro"
    assert account.violations() == []
