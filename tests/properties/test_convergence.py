"""Shuffled, doubled, sent and drained in parallel: every organization ends as if all was in order.

Stripe's documentation promises neither order nor uniqueness; DESIGN, Money in: any order, any
duplicate and any gap followed by a reconcile ends in the same state.
"""

import itertools
import random
import threading
import time
from functools import partial

import pytest
from django.db import connection
from django.test import Client

from billing.entitlement import store
from billing.gateway import stripe_api
from billing.gateway.webhooks import processing
from billing.models import InboxEvent, OutboxMessage
from tests.billing.outcomes import outcome
from tests.billing.racing import in_parallel
from tests.billing.stripe_events import drain_all, post
from tests.factories.orgs import OrganizationFactory

pytestmark = pytest.mark.django_db(transaction=True)

SENDERS = 8


def _histories(stripe, count):
    """Organizations with different ends: monthly, yearly, in VND, abandoned, cancelled."""
    lives = itertools.cycle([_monthly, _yearly, _dong, _abandoned, _cancelled])
    organizations = OrganizationFactory.create_batch(count)
    for organization, live in zip(organizations, lives, strict=False):
        live(stripe, organization)
    return organizations


def _monthly(stripe, organization):
    stripe.buy(organization, seats=2)


def _yearly(stripe, organization):
    stripe.buy(organization, interval="year")


def _dong(stripe, organization):
    stripe.buy(organization, currency="vnd", seats=5)


def _abandoned(stripe, organization):
    intent = stripe.start_checkout(organization)
    stripe.simulator.expire_checkout(intent.session_id)


def _cancelled(stripe, organization):
    stripe.buy(organization)
    customer = stripe.customer_of(organization)
    (bought,) = [
        one for one in stripe.simulator.state("subscription") if one["customer"] == customer
    ]
    stripe_api.cancel_subscription(bought["id"], key=f"cancel:{customer}")


def _mails(organization):
    told = OutboxMessage.objects.filter(organization=organization, kind__startswith="mail.")
    return sorted(told.values_list("once_per", flat=True))


def _ends(organizations):
    return [(outcome(organization), _mails(organization)) for organization in organizations]


def _forget(organizations):
    """Back to the default plan before the first event; the history is then told in another way."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(format('%I', tablename), ', ') FROM pg_tables"
            " WHERE tablename LIKE 'djstripe_%' AND tablename <> 'djstripe_account'"
        )
        (mirrored,) = cursor.fetchone()
        ours = (
            "billing_inboxevent, billing_outboxmessage, billing_subscription, billing_invoice,"
            " billing_paymentmethod, billing_effectiveplan, billing_effectiveplanchange"
        )
        cursor.execute(f"TRUNCATE {mirrored}, {ours} CASCADE")
        cursor.execute("UPDATE billing_checkoutintent SET state = 'open', completed_at = NULL")
        cursor.execute("UPDATE billing_billingaccount SET synced_at = NULL, currency = ''")
    for organization in organizations:
        store.current(organization)


class _Drains:
    """Workers that drain whatever waits, until they are told that nothing more comes."""

    def __init__(self, count):
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()

    def __exit__(self, *exc_info):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed):
        chance = random.Random(seed)  # noqa: S311 (a repeatable order is wanted)
        while True:
            over = self._over.is_set()
            waiting = list(
                InboxEvent.objects.waiting().values_list("customer_id", flat=True).distinct()
            )
            chance.shuffle(waiting)
            for customer_id in waiting:
                processing.drain(customer_id)
            if over:
                break
            time.sleep(0.01)
        connection.close()


def _told_in_order(stripe, organizations):
    stripe.deliver(
        event for organization in organizations for event in stripe.history_of(organization)
    )
    return _ends(organizations)


def _send(event):
    return post(Client(), event).status_code


def _told_in_disorder(stripe, organizations, *, seed, drains):
    """Every event twice, in any order, by eight senders; figures: deliveries and seconds."""
    events = [one for organization in organizations for one in stripe.history_of(organization)] * 2
    random.Random(seed).shuffle(events)  # noqa: S311 (a repeatable order is wanted)
    started = time.monotonic()
    with _Drains(drains):
        answers = in_parallel(SENDERS, [partial(_send, event) for event in events])
    drain_all()
    assert set(answers) == {200}
    return len(events), time.monotonic() - started


def _prove(stripe, report, *, organizations, seeds, drains):
    sold = _histories(stripe, organizations)
    in_order = _told_in_order(stripe, sold)
    assert {end["plan"] for end, _ in in_order} == {"hobby", "pro"}

    for seed in seeds:
        _forget(sold)
        deliveries, seconds = _told_in_disorder(stripe, sold, seed=seed, drains=drains)

        assert not InboxEvent.objects.waiting().exists()
        assert not InboxEvent.objects.dead().exists()
        for organization, expected, found in zip(sold, in_order, _ends(sold), strict=True):
            assert found == expected, f"seed {seed}: {organization.slug}"
            assert store.current(organization).sequence >= 1
        report(
            f"convergence: {deliveries} deliveries over {organizations} organizations,"
            f" {SENDERS} senders, {drains} drains: {deliveries / seconds:.0f} per second"
        )


def test_a_shuffled_and_doubled_history_ends_where_the_ordered_one_does(stripe, report):
    _prove(stripe, report, organizations=5, seeds=[1], drains=2)


@pytest.mark.verify
@pytest.mark.parametrize("drains", [2, 4])
def test_over_twenty_organizations_too_for_any_order(stripe, report, drains):
    """More than 200 deliveries each time, five different orders."""
    _prove(stripe, report, organizations=20, seeds=range(5), drains=drains)
