"""Dunning over HTTP: the simulator moves time and money, our pages say what it means (D1-D9)."""

from datetime import timedelta

import pytest
from django.test import Client

from billing import tasks
from billing.entitlement import store
from billing.gateway import reconcile, stripe_api
from billing.models import Access, Invoice, OutboxMessage
from billing.subscription import cancellation
from orgs.models import AuditEntry
from tests.billing.subscribed import DAY, HOUR, default_on_renewal, on_pro, pass_days
from tests.factories.orgs import OrganizationFactory, UserFactory, owner_of

pytestmark = pytest.mark.django_db
GRACE = timedelta(days=3)


def verdict(organization):
    found = store.current(organization)
    return found.plan.key, found.source, found.access


def is_locked(organization):
    """As an owner meets it: does a write of the organization pass?"""
    client = Client()
    client.force_login(owner_of(organization))
    answer = client.post(f"/o/{organization.slug}/settings/general/describe/", {"name": ""})
    assert answer.status_code in {403, 422}
    return answer.status_code == 403


def api():
    return stripe_api.client().v1


def open_invoices(organization):
    return organization.invoices.filter(status=Invoice.Status.OPEN).order_by("created_at")


def advance_to(stripe, organization, instant):
    known = {event["id"] for event in stripe.simulator.events()}
    customer = stripe.customer_of(organization)
    stripe.simulator.advance(customer=customer, to=int(instant.timestamp()))
    stripe.deliver(event for event in stripe.simulator.events() if event["id"] not in known)


# --- Every status of a subscription ------------------------------------------------------------


def _none(stripe, organization):
    return


def _bought(stripe, organization, **options):
    stripe.simulator.options(**options)
    stripe.buy(organization)
    stripe.deliver_all(organization)


def _waits_for_bank(stripe, organization):
    intent = stripe.start_checkout(organization)
    stripe.pay(intent, "bank_debit_fails")
    stripe.deliver_all(organization)


def _expired(stripe, organization):
    _waits_for_bank(stripe, organization)
    stripe.simulator.settle_debits(stripe.customer_of(organization))
    pass_days(stripe, organization, 2)


def _tries_without_card(stripe, organization, at_end="cancel"):
    intent = stripe.start_checkout(organization)
    api().subscriptions.create(
        {
            "customer": stripe.customer_of(organization),
            "items": [{"price": intent.price.stripe_price_id}],
            "trial_period_days": 7,
            "trial_settings": {"end_behavior": {"missing_payment_method": at_end}},
        }
    )
    stripe.simulator.expire_checkout(intent.session_id)
    stripe.deliver_all(organization)


def _paused(stripe, organization):
    _tries_without_card(stripe, organization, "pause")
    pass_days(stripe, organization, 7.1)


def _past_due(stripe, organization):
    _bought(stripe, organization)
    default_on_renewal(stripe, organization)


def _unpaid(stripe, organization):
    _bought(stripe, organization, dunning_exhausted="unpaid")
    default_on_renewal(stripe, organization)
    pass_days(stripe, organization, 30)


def _canceled(stripe, organization):
    _bought(stripe, organization)
    api().subscriptions.cancel(organization.subscriptions.get().stripe_id)
    stripe.deliver_all(organization)


# Status at Stripe → how it comes about, and what the table of document 004 makes of it.
STATUSES = {
    "none": (_none, ("hobby", "default", "full"), False),
    "incomplete": (_waits_for_bank, ("hobby", "default", "full"), False),
    "incomplete_expired": (_expired, ("hobby", "default", "full"), False),
    "trialing": (_tries_without_card, ("pro", "stripe", "full"), False),
    "active": (_bought, ("pro", "stripe", "full"), False),
    "past_due": (_past_due, ("pro", "stripe", "full"), False),
    "unpaid": (_unpaid, ("pro", "stripe", "read_only"), True),
    "paused": (_paused, ("hobby", "default", "full"), False),
    "canceled": (_canceled, ("hobby", "default", "full"), False),
}


def test_each_status_that_stripe_has_gives_what_the_catalogues_table_says(stripe):
    """B8, and every row of the table by the way Stripe itself takes to it."""
    found = {}
    for status, (come_to, _expected, _locked) in STATUSES.items():
        organization = OrganizationFactory.create()
        come_to(stripe, organization)
        stripe.simulator.options(dunning_exhausted="cancel")
        reached = organization.subscriptions.values_list("status", flat=True).first() or "none"
        found[status] = (reached, verdict(organization), is_locked(organization))

    assert found == {
        status: (status, expected, locked)
        for status, (_come_to, expected, locked) in STATUSES.items()
    }


# --- Grace -------------------------------------------------------------------------------------


def test_grace_counts_from_when_the_invoice_was_made_final_however_late_we_hear_of_it(stripe):
    organization = on_pro(stripe)
    edge = store.current(organization).period_end
    customer = stripe.customer_of(organization)
    stripe.simulator.set_card(customer, "decline")
    known = {event["id"] for event in stripe.simulator.events()}
    stripe.simulator.advance(customer=customer, to=int(edge.timestamp()) + 2 * HOUR)
    stripe.simulator.advance(customer=customer, by_seconds=2 * DAY)

    stripe.deliver(event for event in stripe.simulator.events() if event["id"] not in known)

    invoice = open_invoices(organization).get()
    effective = store.current(organization)
    assert effective.grace_ends_at == invoice.finalized_at + GRACE == edge + timedelta(hours=73)
    assert verdict(organization) == ("pro", "stripe", "full")


def test_retries_that_fail_do_not_move_the_lock(stripe):
    organization = on_pro(stripe)
    default_on_renewal(stripe, organization)
    first = store.current(organization)

    pass_days(stripe, organization, 2.8)

    later = store.current(organization)
    invoice = open_invoices(organization).get()
    assert invoice.attempt_count > 1 or invoice.next_payment_attempt is not None
    assert later.grace_ends_at == first.grace_ends_at
    pass_days(stripe, organization, 0.3)
    assert is_locked(organization)


def test_a_payment_in_the_last_second_wins_and_one_second_later_it_would_not(stripe):
    """D1: the lock is derived, so nothing has to be taken back."""
    punctual, late = on_pro(stripe), on_pro(stripe)
    for organization in (punctual, late):
        default_on_renewal(stripe, organization)
        ends_at = store.current(organization).grace_ends_at
        advance_to(stripe, organization, ends_at - timedelta(seconds=1))
        assert not is_locked(organization)

    stripe.simulator.set_card(stripe.customer_of(punctual), None)
    api().invoices.pay(open_invoices(punctual).get().stripe_id)
    stripe.deliver_all(punctual)
    for organization in (punctual, late):
        advance_to(stripe, organization, store.current(late).grace_ends_at)

    assert (is_locked(punctual), is_locked(late)) == (False, True)
    transitions = OutboxMessage.objects.filter(organization=punctual)
    assert not transitions.filter(kind="mail.locked").exists()


def test_two_failing_invoices_need_both_paid_and_the_older_one_sets_the_clock(stripe):
    """D2."""
    organization = on_pro(stripe)
    default_on_renewal(stripe, organization)
    older = open_invoices(organization).get()
    item = {"amount": 700, "currency": "usd", "customer": stripe.customer_of(organization)}
    api().invoice_items.create({**item, "description": "Setup"})
    second = api().invoices.create(
        {
            "customer": item["customer"],
            "auto_advance": True,
            "pending_invoice_items_behavior": "include",
        }
    )
    pass_days(stripe, organization, 0.5)
    assert [row.attempt_count > 0 for row in open_invoices(organization)] == [True, True]
    pass_days(stripe, organization, 3)
    stripe.simulator.set_card(stripe.customer_of(organization), None)

    api().invoices.pay(older.stripe_id)
    stripe.deliver_all(organization)
    after_one = store.current(organization)

    younger = Invoice.objects.get(stripe_id=second.id)
    assert after_one.grace_ends_at == younger.finalized_at + GRACE
    card = organization.payment_methods.get().stripe_id
    api().invoices.pay(second.id, {"payment_method": card})
    stripe.deliver_all(organization)
    assert verdict(organization) == ("pro", "stripe", "full")
    assert store.current(organization).grace_ends_at is None


@pytest.mark.parametrize(("act", "locked"), [("void_invoice", False), ("mark_uncollectible", True)])
def test_the_open_invoice_unlocks_when_void_and_stays_owed_when_written_off(stripe, act, locked):
    """D5. Written off is the seller's bookkeeping: the money never came."""
    organization = on_pro(stripe)
    default_on_renewal(stripe, organization)
    pass_days(stripe, organization, 3.1)
    assert is_locked(organization)
    stripe.simulator.set_card(stripe.customer_of(organization), None)

    getattr(api().invoices, act)(open_invoices(organization).get().stripe_id)
    stripe.deliver_all(organization)

    assert is_locked(organization) is locked


def test_a_credit_note_over_the_whole_debt_unlocks(stripe):
    """D5: the seller forgives it, and Stripe calls the invoice paid."""
    organization = on_pro(stripe)
    default_on_renewal(stripe, organization)
    pass_days(stripe, organization, 3.1)
    owed = open_invoices(organization).get()

    api().credit_notes.create({"invoice": owed.stripe_id, "amount": owed.amount_remaining})
    stripe.deliver_all(organization)

    assert not is_locked(organization)
    assert store.current(organization).grace_ends_at is None


def test_cancelling_while_locked_leaves_the_lock_until_the_invoice_is_paid(stripe):
    """D9."""
    organization = on_pro(stripe)
    default_on_renewal(stripe, organization)
    pass_days(stripe, organization, 3.1)

    cancellation.cancel(organization, owner_of(organization))
    api().subscriptions.cancel(organization.subscriptions.get().stripe_id)
    stripe.deliver_all(organization)

    assert verdict(organization) == ("hobby", "default", "read_only")
    stripe.simulator.set_card(stripe.customer_of(organization), None)
    api().invoices.pay(open_invoices(organization).get().stripe_id)
    stripe.deliver_all(organization)
    assert verdict(organization) == ("hobby", "default", "full")


def test_a_sent_invoice_starts_its_grace_when_it_is_due(stripe):
    """Net 30: nothing is late before the due date."""
    organization = OrganizationFactory.create()
    intent = stripe.start_checkout(organization)
    api().subscriptions.create(
        {
            "customer": stripe.customer_of(organization),
            "items": [{"price": intent.price.stripe_price_id}],
            "collection_method": "send_invoice",
            "days_until_due": 30,
        }
    )
    stripe.deliver_all(organization)
    pass_days(stripe, organization, 29)
    invoice = open_invoices(organization).first()
    before = store.current(organization)

    pass_days(stripe, organization, 2)
    in_grace = store.current(organization)
    pass_days(stripe, organization, 2.5)

    assert (before.plan.key, before.grace_ends_at) == ("pro", None)
    assert in_grace.grace_ends_at == invoice.due_date + GRACE
    assert is_locked(organization)


# --- Disputes and refunds ----------------------------------------------------------------------


LOST = {
    "flag": ("pro", "stripe", "full"),
    "lock": ("pro", "stripe", "read_only"),
    "downgrade": ("hobby", "default", "full"),
}


def test_an_open_dispute_only_flags_and_a_lost_one_follows_the_catalogue(
    stripe, settings, catalog_file
):
    """D4: weeks after the charge, by events that name no customer; staff alone settle it."""
    organization = on_pro(stripe, days=20)
    invoice = organization.invoices.get()
    dispute = stripe.simulator.dispute(stripe.customer_of(organization))
    stripe.deliver(stripe.simulator.events())
    invoice.refresh_from_db()
    while_open = (invoice.disputed, *verdict(organization))

    stripe.simulator.close_dispute(dispute["dispute"], "lost")
    stripe.deliver(stripe.simulator.events())

    assert while_open == (True, "pro", "stripe", "full")
    assert (verdict(organization), is_locked(organization)) == (LOST["lock"], True)
    assert under_each_policy(organization, settings, catalog_file, LOST) == LOST
    _settled_by_staff(settings, invoice)
    assert verdict(organization) == ("pro", "stripe", "full")
    told = OutboxMessage.objects.filter(
        organization=organization, payload__invoice=invoice.stripe_id
    )
    assert {"mail.locked", "mail.unlocked"} <= set(told.values_list("kind", flat=True))
    assert AuditEntry.objects.filter(action="billing.dispute_settled").count() == 1


def under_each_policy(organization, settings, catalog_file, policies):
    """The verdict is derived, so another catalogue judges the same facts anew."""
    found, before, text = {}, settings.CATALOG, catalog_file.path.read_text(encoding="utf-8")
    for policy in policies:
        path = catalog_file.path.with_name(f"{policy}.toml")
        line = policy if "=" in policy else f'lost_dispute = "{policy}"'
        path.write_text(text.replace('lost_dispute = "lock"', line), encoding="utf-8")
        settings.CATALOG = str(path)
        store.rederive(organization, cause="test")
        found[policy] = verdict(organization)
    settings.CATALOG = before
    store.rederive(organization, cause="test")
    return found


def _settled_by_staff(settings, invoice):
    settings.ADMIN_REQUIRES_MFA = False
    staff = Client()
    staff.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    chosen = {"action": "settle_disputes", "_selected_action": [invoice.pk]}
    assert staff.post("/admin/billing/invoice/", chosen).status_code == 302


def test_a_dispute_that_was_won_or_that_no_webhook_told_of_ends_in_the_right_state(stripe):
    won, unheard = on_pro(stripe), on_pro(stripe)
    for organization, outcome in ((won, "won"), (unheard, "lost")):
        dispute = stripe.simulator.dispute(stripe.customer_of(organization))
        stripe.simulator.close_dispute(dispute["dispute"], outcome)

    reconcile.run()

    assert verdict(won) == ("pro", "stripe", "full")
    assert won.invoices.get().disputed is False
    assert verdict(unheard) == ("pro", "stripe", "read_only")
    owner = Client()
    owner.force_login(owner_of(unheard))
    page = owner.get(f"/o/{unheard.slug}/settings/billing/").content.decode()
    assert "Your bank took back $" in page
    assert "to settle it." in page


@pytest.mark.parametrize(("share", "plans"), [(1.0, "pro hobby hobby"), (0.5, "pro pro hobby")])
def test_a_refund_ends_the_plan_where_the_catalogue_says_so(
    stripe, settings, catalog_file, share, plans
):
    policies = (
        'full_refund = "keep"',
        'full_refund = "end"',
        'full_refund = "end"\npartial_refund = "end"',
    )
    organization = on_pro(stripe, seats=2)
    invoice = organization.invoices.get()

    amount = int(invoice.amount_paid * share)
    api().refunds.create({"payment_intent": invoice.payment_intent_id, "amount": amount})
    stripe.deliver_all(organization)

    invoice.refresh_from_db()
    found = under_each_policy(organization, settings, catalog_file, policies)
    assert invoice.amount_refunded == amount
    assert [plan for plan, _source, _access in found.values()] == plans.split()
    assert {access for _plan, _source, access in found.values()} == {Access.FULL}


def test_a_plan_that_ended_with_its_money_ends_at_stripe_too(stripe, settings, catalog_file):
    catalog_file.edit('lost_dispute = "lock"', 'lost_dispute = "lock"\nfull_refund = "end"')
    settings.CATALOG = catalog_file.name
    organization = on_pro(stripe)
    invoice = organization.invoices.get()
    api().refunds.create({"payment_intent": invoice.payment_intent_id})
    stripe.deliver_all(organization)

    tasks.return_money(str(organization.pk))

    assert organization.subscriptions.get().status == "canceled"
    assert len(stripe.simulator.state("refund")) == 1


# --- What people see ---------------------------------------------------------------------------


def test_the_banner_counts_down_locks_and_goes_with_the_payment(stripe):
    """D13: on the very next page after Stripe's event."""
    organization = on_pro(stripe)
    default_on_renewal(stripe, organization)
    seen = [banner_of(organization)]
    pass_days(stripe, organization, 3.1)
    seen.append(banner_of(organization))
    stripe.simulator.set_card(stripe.customer_of(organization), None)

    api().invoices.pay(open_invoices(organization).get().stripe_id)
    stripe.deliver_all(organization)

    assert ["Payment failed. 2 days" in seen[0], "is read-only" in seen[1]] == [True, True]
    assert 'id="banner"' not in banner_of(organization)


def banner_of(organization):
    client = Client()
    client.force_login(owner_of(organization))
    return client.get(f"/o/{organization.slug}/settings/billing/").content.decode()
