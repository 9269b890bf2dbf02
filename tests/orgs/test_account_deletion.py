"""Deleting one's account: what ends, what is forgotten, and what is refused."""

import pytest
from django.test import Client

from orgs.models import AuditEntry, Organization, Role, User
from tests.factories.orgs import (
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
    api_token_for,
    personal_organization,
)

pytestmark = pytest.mark.django_db

DELETE = "/profile/delete/"


@pytest.fixture
def person():
    return UserFactory.create(name="Ann Example")


@pytest.fixture
def browser(person):
    client = Client()
    client.force_login(person)
    return client


def delete(browser, person):
    return browser.post(DELETE, {"confirmation": person.email.upper()})


def test_who_deletes_their_account_is_forgotten_and_signed_out(browser, person):
    personal, email = personal_organization(person), person.email
    token = api_token_for(person)
    Client().force_login(person)
    assert person.sessions.count() == 2

    done = delete(browser, person)

    person.refresh_from_db()
    assert not person.sessions.exists()
    personal.refresh_from_db()
    assert done.status_code == 302
    assert "_auth_user_id" not in browser.session
    assert not User.objects.filter(email=email).exists()
    assert (person.name, person.is_active, person.has_usable_password()) == ("", False, False)
    assert personal.closed_at is not None
    header = {"authorization": f"Bearer {token}"}
    assert Client().get("/api/v1/billing/plans", headers=header).status_code == 401
    assert AuditEntry.objects.filter(action="account.deleted", actor_id=str(person.pk)).exists()


def test_they_leave_every_team_and_the_address_is_free_again(browser, person):
    team = OrganizationFactory.create()
    MembershipFactory.create(organization=team, user=person)
    email = person.email

    delete(browser, person)

    assert team.memberships.count() == 1
    assert personal_organization(UserFactory.create(email=email))


def test_the_only_owner_of_a_team_must_hand_it_over_or_close_it_first(browser, person):
    team = OrganizationFactory.create(owner=person)
    MembershipFactory.create(organization=team, role=Role.ADMIN)

    refused = browser.post(DELETE, {"confirmation": person.email}, follow=True)

    assert "owner" in refused.content.decode()
    person.refresh_from_db()
    assert person.is_active
    assert Organization.objects.of_member(person).count() == 2


def test_it_asks_for_the_address_first(browser, person):
    refused = browser.post(DELETE, {"confirmation": "yes"})

    assert refused.status_code == 422
    assert "This is not your e-mail address." in refused.content.decode()
    assert User.objects.filter(pk=person.pk, is_active=True).exists()
