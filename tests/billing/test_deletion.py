"""An organization's deletion: thought over, held up, carried out whatever fails (E29)."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import DatabaseError, transaction
from django.test import Client
from django.utils import timezone

from billing import catalog
from billing.catalog.apply import apply
from billing.messages import outbox
from billing.models import Grant, Invoice, OutboxMessage, Source
from billing.subscription import customers
from orgs import account_deletion, deletions, organizations
from orgs.exceptions import SlugTaken
from orgs.models import AuditEntry, Deletion, Organization, SlugHistory
from quotas import erasure
from quotas.engine import enforcement
from quotas.models import Balance, NoticeDelivery, Rollup, UsageEvent
from quotas.notices import endpoints
from quotas.reading import rollups
from tests.architecture import canary
from tests.billing.subscribed import on_pro
from tests.factories.orgs import (
    PASSWORD,
    InvitationFactory,
    OrganizationFactory,
    UserFactory,
    member_of,
    owner_of,
    personal_organization,
)
from tests.factories.quotas import SatelliteFactory, limited

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

ANN, GUEST, PLACE = "ann@canary.example", "guest@canary.example", "Canary Yellow Ltd"
BILLS, PROJECT = "bills@canary.example", "canary-project"


def signed_in(person):
    """With the password, as people do: a proof of who they are."""
    client = Client()
    client.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
    return client


def ask(client, organization, **form):
    form.setdefault("confirmation", organization.name)
    return client.post(f"/o/{organization.slug}/settings/data/delete/", form)


def time_passes(**span):
    """As if it had been asked for earlier."""
    earlier = timezone.now() - timedelta(**span)
    Deletion.objects.filter(finished_at=None).update(due_at=earlier, next_attempt_at=earlier)


def carried_out(organization, rounds=6):
    """What beat does: the deletion and the outbox take turns."""
    for _round in range(rounds):
        time_passes(seconds=1)
        deletions.carry_out_due()
        outbox.deliver_due()
        NoticeDelivery.objects.update(state=NoticeDelivery.State.SENT)
    return Deletion.objects.get(organization=organization)


def open_invoice(organization):
    amounts = dict.fromkeys(("subtotal", "total", "amount_due", "amount_remaining"), 2900)
    return Invoice.objects.create(
        organization=organization, stripe_id="in_open", customer_id="cus", number="LL-1",
        status="open", currency="usd", amount_paid=0, created_at=timezone.now(), **amounts,
    )  # fmt: skip


@pytest.fixture
def on_sale(db):
    apply(catalog.current(), None, {})


@pytest.fixture
def paying(stripe):
    """A team on Pro with people, usage, a guest, and names in every corner."""
    organization = on_pro(stripe, plan_key="pro")
    owner = owner_of(organization)
    type(owner).objects.filter(pk=owner.pk).update(email=ANN, name="Ann Canary")
    owner.emailaddress_set.update(email=ANN)
    Organization.objects.filter(pk=organization.pk).update(name=PLACE, billing_email=BILLS)
    organization.refresh_from_db()
    member = member_of(organization)
    InvitationFactory.create(organization=organization, email=GUEST)
    for number in range(3):
        enforcement.consume(
            organization, "ai_queries", 5, idempotency_key=f"{GUEST}:{number}",
            member=str(member.pk), dimensions={"model": PROJECT},
        )  # fmt: skip
    enforcement.consume(organization, "ai_queries", 2, idempotency_key="own", member=GUEST)
    rollups.catch_up()
    return organization


def test_a_deletion_takes_everything_that_names_anybody_and_keeps_the_numbers(
    stripe, paying, monkeypatch
):
    monkeypatch.setattr(erasure, "_BATCH", 2)  # so that the ledger takes several
    endpoints.add(SatelliteFactory.create(), "https://drive.example/n")
    slug, customer = paying.slug, stripe.customer_of(paying)
    used = sorted(Balance.objects.filter(organization=paying).values_list("meter", "used"))
    billed = list(paying.invoices.values_list("stripe_id", "number", "total"))
    deltas = list(UsageEvent.objects.filter(organization=paying).values_list("sequence", "delta"))
    browser = signed_in(owner_of(paying))

    asked = ask(browser, paying)
    assert asked.status_code == 302
    assert "Keep the organization" in browser.get(asked.url).content.decode()
    outbox.deliver_due()
    assert [sent.to for sent in mail.outbox if "deleted" in sent.subject] == [[ANN]]
    deletions.carry_out_due()
    assert browser.get(asked.url).status_code == 200  # nothing changes in the days of grace
    mail.outbox.clear()
    done = carried_out(paying)

    assert done.finished_at is not None
    assert done.salt == ""
    assert browser.get(asked.url).status_code == 404
    at_stripe = {one["id"]: one for one in stripe.simulator.state("customer")}
    assert at_stripe.get(customer, {"deleted": True}).get("deleted")
    assert stripe.simulator.state("invoice")  # kept where the law wants them
    assert NoticeDelivery.objects.count() == 0
    assert sorted(Balance.objects.filter(organization=paying).values_list("meter", "used")) == used
    events = UsageEvent.objects.filter(organization=paying)
    assert sorted(events.values_list("sequence", "delta")) == sorted(deltas)
    assert len(set(events.exclude(member="").values_list("member", flat=True))) == 2
    assert Rollup.objects.filter(organization=paying, dimension="").exists()
    assert list(paying.invoices.values_list("stripe_id", "number", "total")) == billed
    assert not paying.memberships.exists()
    mail.outbox.clear()
    assert [
        hit for hit in canary.hits([GUEST, PLACE, BILLS, PROJECT])
        if "orgs_user." not in hit and "account_emailaddress." not in hit
    ] == []  # fmt: skip
    her_own = {"account_emailaddress", "axes_accesslog", "orgs_session", "orgs_user"}
    places = {hit.rpartition(" in ")[2].partition(".")[0] for hit in canary.hits([ANN])}
    assert places <= her_own  # her account lives on
    assert SlugHistory.objects.get(slug=slug).organization is None
    with pytest.raises(SlugTaken), transaction.atomic():
        OrganizationFactory.create(slug=slug)


def test_an_open_invoice_and_a_contract_stand_in_the_way_each_with_a_way_out(on_sale):
    organization = OrganizationFactory.create()
    open_invoice(organization)
    Grant.objects.create(
        organization=organization, source=Source.CONTRACT, plan_key="pro", reason="signed"
    )
    browser = signed_in(owner_of(organization))

    refused = ask(browser, organization)

    page = refused.content.decode()
    assert refused.status_code == 409
    assert "Invoice LL-1 over $29.00 is still open." in page
    assert "Pay it" in page
    assert "A contract runs without an end." in page
    assert "Talk to us about ending it" in page
    assert not Deletion.objects.exists()


def test_it_can_be_undone_until_the_day(on_sale):
    organization = OrganizationFactory.create()
    browser = signed_in(owner_of(organization))
    ask(browser, organization)

    browser.post(f"/o/{organization.slug}/settings/data/keep/")
    time_passes(days=30)
    deletions.carry_out_due()

    organization.refresh_from_db()
    assert organization.closed_at is None
    assert not Deletion.objects.exists()
    acts = AuditEntry.objects.filter(organization=organization).values_list("action", flat=True)
    assert {"organization.deletion_asked", "organization.deletion_undone"} <= set(acts)


def test_it_asks_for_the_name_and_for_a_proof_of_who_one_is(on_sale):
    organization = OrganizationFactory.create()
    stolen = Client()
    stolen.force_login(owner_of(organization))

    wrong = ask(signed_in(owner_of(organization)), organization, confirmation="yes")
    unproved = ask(stolen, organization)

    assert wrong.status_code == 422
    assert "This is not the name of the organization." in wrong.content.decode()
    assert unproved.url.startswith("/accounts/reauthenticate/?next=")
    assert not Deletion.objects.exists()
    back: Any = stolen.post(unproved.url, {"password": PASSWORD})
    assert back.url == f"/o/{organization.slug}/settings/data/"
    assert ask(stolen, organization).status_code == 302
    assert Deletion.objects.filter(organization=organization).exists()


def test_an_invoice_that_comes_up_meanwhile_holds_the_deletion_up_until_it_is_gone(on_sale):
    team = OrganizationFactory.create()
    ask(signed_in(owner_of(team)), team)
    open_invoice(team)

    waiting = carried_out(team, rounds=2)
    team.refresh_from_db()

    assert (team.closed_at, waiting.finished_at, waiting.attempts) == (None, None, 0)
    Invoice.objects.update(status="void", amount_remaining=0)
    assert carried_out(team).finished_at is not None
    team.refresh_from_db()
    assert team.closed_at is not None


def test_stripe_may_fail_half_way_and_nothing_is_done_twice(stripe, paying):
    ask(signed_in(owner_of(paying)), paying)
    stripe.simulator.fault("DELETE /v1/subscriptions/*", "reset_connection", times=2)
    stripe.simulator.fault("DELETE /v1/customers/*", "http_500", times=2)

    time_passes(days=15)
    assert deletions.carry_out_due() == 0
    halted = Deletion.objects.get(organization=paying)
    done = carried_out(paying, rounds=3)
    OutboxMessage.objects.filter(state="waiting").update(next_attempt_at=timezone.now())
    done = carried_out(paying)

    assert "subscriptions" not in halted.done
    assert "usage" in halted.done  # what needs no Stripe does not wait for it
    assert done.finished_at is not None
    assert len(done.done) == len(set(done.done))
    assert deletions.carry_out_due() == 0
    ended = AuditEntry.objects.filter(action="billing.customer_deleted", organization=paying)
    assert ended.count() == 1


def test_an_account_with_an_open_invoice_goes_and_its_customer_waits_for_the_money(stripe):
    """E29: nobody is kept for owing; invoice and customer stay until it is paid or given up."""
    person = UserFactory.create(name="Ann Canary")
    personal = personal_organization(person)
    open_invoice(personal)
    customer = customers.ensure(personal).stripe_customer_id
    address = person.email
    signed_in(person).post("/accounts/logout/")

    account_deletion.delete_account(person)
    waiting = carried_out(personal, rounds=2)

    assert waiting.finished_at is None
    assert "customer" not in waiting.done
    assert {"people", "billing", "usage"} <= set(waiting.done)
    assert Invoice.objects.filter(organization=personal, amount_remaining=2900).exists()
    assert canary.hits([address, "Ann Canary"]) == []
    Invoice.objects.update(status="uncollectible")
    assert carried_out(personal).finished_at is not None
    standing = [one for one in stripe.simulator.state("customer") if not one.get("deleted")]
    assert customer not in {one["id"] for one in standing}


def test_the_only_owner_is_led_to_the_teams_that_keep_them(on_sale):
    person = UserFactory.create()
    team = OrganizationFactory.create(owner=person)
    browser = signed_in(person)

    page = browser.post("/profile/delete/", {"confirmation": person.email}, follow=True)

    assert f"/o/{team.slug}/settings/data/" in page.content.decode()
    assert f"/o/{team.slug}/settings/members/" in page.content.decode()


def test_a_closed_organization_is_erased_after_the_days_of_grace(on_sale):
    organization = OrganizationFactory.create()
    owner = owner_of(organization)

    organizations.close(organization, actor=owner)

    deletion = Deletion.objects.get(organization=organization)
    assert timedelta(days=13) < deletion.due_at - timezone.now() < timedelta(days=15)
    assert deletions.carry_out_due() == 0
    assert carried_out(organization).finished_at is not None


def test_nothing_but_names_of_the_gone_can_be_changed_in_ledger_and_trail():
    """E11: the triggers let erasing pass, and nothing else."""
    organization = limited(storage=10)
    enforcement.consume(organization, "storage", 1, idempotency_key="a", member="b")
    event = UsageEvent.objects.filter(organization=organization)
    entry = AuditEntry.objects.filter(organization=organization)
    refused = [
        lambda: event.update(member="gone:" + "0" * 32),
        lambda: entry.update(actor_label=""),
    ]
    still_refused = [
        lambda: event.update(delta=0),
        lambda: event.update(member="somebody else"),
        lambda: entry.update(actor_label="somebody else"),
        lambda: entry.update(action="nothing"),
        event.delete,
        entry.delete,
    ]

    assert all(_is_refused(act) for act in [*refused, *still_refused])
    organizations.close(organization, actor=owner_of(organization))
    assert all(_is_refused(act) for act in still_refused)


def _is_refused(act):
    try:
        with transaction.atomic():
            act()
    except DatabaseError as error:
        return "append-only" in str(error)
    return False
