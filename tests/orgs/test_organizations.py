"""Organizations are founded, described, switched between and closed."""

import threading

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.urls import reverse

from orgs import members, organizations, signals
from orgs.context_processors import shell
from orgs.exceptions import DomainError, OrganizationNotFound, Unprocessable
from orgs.models import AuditEntry, Organization, Role
from tests.factories.orgs import (
    InvitationFactory,
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
    owner_of,
    personal_organization,
)

pytestmark = pytest.mark.django_db


class StillNeeded(DomainError):
    status = 409


@pytest.mark.django_db(transaction=True)
def test_a_person_has_one_personal_organization_however_often_it_is_made():
    user = UserFactory.create()

    def make():
        try:
            organizations.create_personal(user)
        finally:
            connection.close()

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert user.organizations.filter(kind=Organization.Kind.PERSONAL).count() == 1


def test_founding_a_team_by_the_form_makes_an_owner_and_leads_to_its_members():
    user = UserFactory.create()
    client = Client()
    client.force_login(user)

    answer = client.post(reverse("orgs:new"), {"name": "Hạ Long Studio"})

    team = Organization.objects.get(name="Hạ Long Studio")
    assert answer["Location"] == reverse("orgs:members", args=["ha-long-studio"])
    assert team.memberships.get().role == Role.OWNER
    assert team.memberships.get().user == user


def test_founding_is_announced_inside_the_transaction():
    heard = []

    def listen(organization, actor, **kwargs):
        heard.append((organization.name, actor.email, connection.in_atomic_block))

    signals.organization_created.connect(listen)
    try:
        OrganizationFactory.create(name="Loud", owner__email="an@example.com")
    finally:
        signals.organization_created.disconnect(listen)

    assert heard[-1] == ("Loud", "an@example.com", True)


def test_closing_ends_invitations_and_everybodys_current_organization():
    organization = OrganizationFactory.create()
    owner = owner_of(organization)
    invitation = InvitationFactory.create(organization=organization)

    organizations.close(organization, actor=owner)
    owner.refresh_from_db()
    invitation.refresh_from_db()

    assert invitation.revoked_at is not None
    assert owner.current_organization is None
    with pytest.raises(OrganizationNotFound):
        organizations.rename(organization, "Again", actor=owner)


def test_closing_can_be_vetoed():
    organization = OrganizationFactory.create()

    def veto(**kwargs):
        raise StillNeeded("An invoice is open.")

    signals.organization_closing.connect(veto)
    try:
        with pytest.raises(StillNeeded):
            organizations.close(organization, actor=owner_of(organization))
    finally:
        signals.organization_closing.disconnect(veto)

    organization.refresh_from_db()
    assert organization.closed_at is None


def test_closing_by_the_form_needs_the_address_typed():
    organization = OrganizationFactory.create()
    client = Client()
    client.force_login(owner_of(organization))
    url = reverse("orgs:close", args=[organization.slug])

    wrong = client.post(url, {"confirmation": "something"})
    organization.refresh_from_db()
    closed_by_a_wrong_word = organization.closed_at
    right = client.post(url, {"confirmation": organization.slug})
    organization.refresh_from_db()

    assert (wrong.status_code, closed_by_a_wrong_word) == (422, None)
    assert right.status_code == 302
    assert organization.closed_at is not None


def test_only_what_changed_is_written_down():
    organization = OrganizationFactory.create(name="Before", language="en")

    organizations.rename(organization, "After", actor=owner_of(organization))
    organizations.rename(organization, "After", actor=owner_of(organization))

    entry = AuditEntry.objects.get(organization=organization, action="organization.described")
    assert (entry.before, entry.after) == ({"name": "Before"}, {"name": "After"})


def test_the_new_owner_is_told_in_the_language_of_the_organization(
    django_capture_on_commit_callbacks,
):
    organization = OrganizationFactory.create(name="Phở", language="vi")
    receiver = MembershipFactory.create(organization=organization)

    with django_capture_on_commit_callbacks(execute=True):
        members.hand_over(receiver, owner=owner_of(organization))

    assert mail.outbox[0].to == [receiver.user.email]
    assert "Phở" in mail.outbox[0].subject
    assert f"/o/{organization.slug}/settings/members/" in mail.outbox[0].body


def test_open_invitations_are_limited_and_sending_one_again_is_not_a_new_one():
    organization = OrganizationFactory.create()
    owner = owner_of(organization)
    for number in range(members.MAX_OPEN_INVITATIONS):
        InvitationFactory.create(organization=organization, email=f"a{number}@example.com")

    with pytest.raises(Unprocessable):
        members.invite(organization, "more@example.com", Role.MEMBER, inviter=owner)

    again = members.invite(organization, "a0@example.com", Role.MEMBER, inviter=owner)
    assert again.email == "a0@example.com"


def test_the_shell_costs_one_query_and_none_where_nothing_shows_it(rf, django_assert_num_queries):
    user = OrganizationFactory.create().memberships.get().user
    request = rf.get("/")
    request.user = user

    with django_assert_num_queries(0):
        context = shell(request)
    with django_assert_num_queries(1):
        names = [membership.organization.name for membership in context["memberships"]]
        shown = context["organization"].name
        held = "billing.manage" in context["capabilities"]

    assert shown in names
    assert personal_organization(user).name in names
    assert held
