"""People beyond the paid seats: refused with a reason, or let in and flagged, as the plan says."""

import pytest
from django.test import Client

from billing.exceptions import SeatsInUse
from billing.subscription import changes
from billing.subscription.wishes import Wish
from orgs import ports
from orgs.models import Role
from tests.billing.catalog_file import catalog_file
from tests.billing.conftest import published, stripe
from tests.billing.subscribed import on_pro
from tests.factories.orgs import (
    InvitationFactory,
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
    owner_of,
)

pytestmark = pytest.mark.django_db
__all__ = ["catalog_file", "published", "stripe"]


@pytest.fixture
def hard(settings, catalog_file):
    """The suite, with seats that refuse whoever has none."""
    catalog_file.edit('beyond = "flag"', 'beyond = "refuse"')
    settings.CATALOG = catalog_file.name


def browser_of(person):
    client = Client()
    client.force_login(person)
    return client


def invite(organization, email):
    return browser_of(owner_of(organization)).post(
        f"/o/{organization.slug}/settings/members/invite/",
        {"email": email, "role": Role.MEMBER},
        follow=True,
    )


def text_of(answer):
    return " ".join(answer.content.decode().split())


def test_a_hard_seat_refuses_the_invitation_with_a_reason_and_one_way_out(hard, stripe):
    organization = on_pro(stripe, seats=2)
    MembershipFactory.create(organization=organization)

    page = text_of(invite(organization, "third@x.test"))

    assert not organization.invitations.exists()
    assert "All 2 seats are taken. Add a seat first" in page
    assert f"/o/{organization.slug}/settings/billing/change/?seats=3" in page
    assert "Pay for 3 seats" in page
    changes.change(organization, owner_of(organization), Wish(seats=3))
    invite(organization, "third@x.test")
    assert organization.invitations.count() == 1


def test_a_hard_seat_refuses_whoever_accepts_an_invitation_too_late(hard, stripe):
    organization = on_pro(stripe, seats=2)
    person = UserFactory.create(email="late@x.test")
    invitation = InvitationFactory.create(organization=organization, email="late@x.test")
    MembershipFactory.create(organization=organization)

    browser_of(person).post(f"/invitations/{invitation.secret}/accept/")

    assert not organization.memberships.filter(user=person).exists()


def test_hard_seats_are_bought_for_everybody_who_is_in(hard, stripe):
    organization = OrganizationFactory.create()
    MembershipFactory.create_batch(2, organization=organization)

    with pytest.raises(SeatsInUse):
        stripe.start_checkout(organization, seats=2)

    assert stripe.start_checkout(organization, seats=3).seats == 3


def test_a_soft_seat_lets_people_in_and_flags_them_until_they_are_paid_for(stripe):
    organization = on_pro(stripe, seats=1)
    person = UserFactory.create(email="second@x.test")
    invitation = InvitationFactory.create(organization=organization, email="second@x.test")
    browser_of(person).post(f"/invitations/{invitation.secret}/accept/")

    owner = browser_of(owner_of(organization))
    members = text_of(owner.get(f"/o/{organization.slug}/settings/members/"))
    flagged = ports.seats(organization)
    billing = text_of(owner.get(f"/o/{organization.slug}/settings/billing/"))
    changes.change(organization, owner_of(organization), Wish(seats=2))

    assert organization.memberships.count() == 2
    assert (flagged.bought, flagged.unpaid) == (1, 1)
    assert "1 person has no paid seat" in members
    assert "Each seat costs $6.00 a month." in members
    assert "1 person has no paid seat" in billing
    assert ports.seats(organization).unpaid == 0
    assert "has no paid seat" not in text_of(owner.get(f"/o/{organization.slug}/settings/members/"))
