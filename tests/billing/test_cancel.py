"""Leaving: when, with what reason, what is lost with it, and how it is undone."""

import pytest

from billing.entitlement import store
from billing.exceptions import NothingToChange, NotSubscribed
from billing.models import Access, Source
from billing.subscription import cancellation, changes, preview
from billing.subscription.wishes import Wish
from orgs.models import AuditEntry
from tests.billing.subscribed import default_on_renewal, on_pro, pass_days
from tests.factories.orgs import OrganizationFactory, member_of, owner_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization(stripe):
    return on_pro(stripe, days=5, seats=8)


def at_stripe(stripe):
    (found,) = stripe.simulator.state("subscription")
    return found


def test_a_cancelled_plan_stays_until_what_was_paid_is_used_up(organization, stripe):
    paid_until = store.current(organization).period_end

    ends_at = cancellation.cancel(organization, owner_of(organization))

    effective = store.current(organization)
    assert ends_at == effective.ends_at == paid_until
    assert effective.plan.key == "pro"
    pass_days(stripe, organization, 31)
    after = store.current(organization)
    assert (after.plan.key, after.source) == ("hobby", Source.DEFAULT)


def test_the_reason_reaches_stripe_in_its_own_words(organization, stripe):
    cancellation.cancel(
        organization, owner_of(organization), reason="too_expensive", comment="Until spring."
    )

    details = at_stripe(stripe)["cancellation_details"]
    assert details["feedback"] == "too_expensive"
    assert details["comment"] == "Until spring."
    assert AuditEntry.objects.filter(action="billing.cancelled").exists()


def test_a_cancellation_can_be_taken_back_and_made_again(organization, stripe):
    owner = owner_of(organization)
    for _ in range(2):
        cancellation.cancel(organization, owner)
        changes.keep(organization, owner)

    effective = store.current(organization)
    pass_days(stripe, organization, 31)
    assert effective.ends_at is None
    assert store.current(organization).plan.key == "pro"


def test_what_is_cancelled_cannot_be_cancelled_again(organization):
    cancellation.cancel(organization, owner_of(organization))

    with pytest.raises(NothingToChange):
        cancellation.preview(organization)


def test_nothing_to_cancel_is_said(stripe):
    with pytest.raises(NotSubscribed):
        cancellation.preview(OrganizationFactory.create())


def test_cancelling_ends_a_scheduled_change_too(organization, stripe):
    changes.change(organization, owner_of(organization), Wish(seats=2))

    cancellation.cancel(organization, owner_of(organization))

    assert organization.subscriptions.get().scheduled == {}
    pass_days(stripe, organization, 31)
    assert store.current(organization).plan.key == "hobby"


def test_the_preview_names_what_will_be_over_the_new_limits(organization):
    for _ in range(6):
        member_of(organization)

    leaving = cancellation.preview(organization)

    (surplus,) = leaving.consequences.over
    assert (surplus.meter, surplus.used, surplus.limit, surplus.amount) == ("members", 7, 5, 2)
    assert "audit_log" in leaving.consequences.lost
    assert {change.meter for change in leaving.consequences.limits} == {
        "storage",
        "members",
        "ai_queries",
    }


def test_leaving_pays_no_invoice_and_so_unlocks_nothing(stripe):
    organization = on_pro(stripe)
    default_on_renewal(stripe, organization)
    pass_days(stripe, organization, 4)
    assert store.current(organization).access == Access.READ_ONLY

    cancellation.cancel(organization, owner_of(organization))

    assert store.current(organization).access == Access.READ_ONLY


def test_more_seats_take_no_cancellation_back_but_another_interval_does(organization):
    owner = owner_of(organization)
    cancellation.cancel(organization, owner)
    seats, year = (
        preview.of_change(organization, wish) for wish in (Wish(seats=9), Wish(interval="year"))
    )

    changes.change(organization, owner, Wish(seats=9))
    after_seats = store.current(organization).ends_at
    changes.change(organization, owner, Wish(interval="year"))

    assert (seats.stays, year.stays) == (False, True)
    assert after_seats is not None
    assert store.current(organization).ends_at is None
