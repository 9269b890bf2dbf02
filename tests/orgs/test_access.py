"""Who sees what: strangers 404, the wrong role 403, the anonymous a login; every request anew."""

import uuid

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from orgs import capabilities, members, organizations
from orgs.capabilities import Capability
from orgs.models import Role
from tests.factories.orgs import (
    InvitationFactory,
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
    api_token_for,
    member_of,
    owner_of,
    personal_organization,
)

pytestmark = pytest.mark.django_db

PAGES = ["general", "members", "api-keys", "audit", "audit-csv"]
ACTS = ["describe", "change-slug", "close", "invite", "hand-over", "leave", "switch"]


def url(name, organization, **kwargs):
    return reverse(f"orgs:{name}", kwargs={"slug": organization.slug, **kwargs})


def page_of(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("name", PAGES)
def test_an_owner_sees_every_page(name):
    organization = OrganizationFactory.create()

    response = page_of(owner_of(organization)).get(url(name, organization))

    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("name", PAGES + ACTS)
def test_somebody_elses_organization_is_not_found(name):
    organization = OrganizationFactory.create()
    client = page_of(UserFactory.create())
    send = client.get if name in PAGES else client.post

    foreign = send(url(name, organization))
    unknown = send(reverse(f"orgs:{name}", kwargs={"slug": "nothing-here"}))

    assert (foreign.status_code, unknown.status_code) == (404, 404)


@pytest.mark.parametrize("name", PAGES)
def test_the_anonymous_are_sent_to_the_login_whether_the_organization_exists_or_not(name):
    organization = OrganizationFactory.create()

    existing = Client().get(url(name, organization))
    unknown = Client().get(reverse(f"orgs:{name}", kwargs={"slug": "nothing-here"}))

    assert existing.status_code == unknown.status_code == 302
    assert existing["Location"].startswith(reverse("account_login"))


def test_a_fragment_asked_for_without_a_login_leaves_the_page():
    organization = OrganizationFactory.create()

    response = Client().get(
        url("members", organization),
        headers={"hx-request": "true", "hx-current-url": "http://testserver/o/x/?a=1"},
    )

    assert response["HX-Redirect"] == f"{reverse('account_login')}?next=%2Fo%2Fx%2F%3Fa%3D1"


def test_a_closed_organization_is_not_found_even_by_its_owner():
    organization = OrganizationFactory.create()
    owner = owner_of(organization)
    organizations.close(organization, actor=owner)

    response = page_of(owner).get(url("general", organization))

    assert response.status_code == 404


def test_a_page_is_not_reached_by_the_id_of_its_organization():
    organization = OrganizationFactory.create()

    response = page_of(owner_of(organization)).get(f"/o/{organization.pk}/settings/general/")

    assert response.status_code == 404


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("audit", {Role.OWNER, Role.ADMIN}),
        ("audit-csv", {Role.OWNER, Role.ADMIN}),
        ("members", {Role.OWNER, Role.ADMIN, Role.MEMBER}),
        ("general", {Role.OWNER, Role.ADMIN, Role.MEMBER}),
        ("api-keys", {Role.OWNER, Role.ADMIN, Role.MEMBER}),
    ],
)
@pytest.mark.parametrize("role", list(Role))
def test_a_page_opens_for_the_roles_that_have_its_capability(name, roles, role):
    organization = OrganizationFactory.create()
    person = member_of(organization, role)

    response = page_of(person).get(url(name, organization))

    assert response.status_code == (200 if role in roles else 403)


@pytest.mark.parametrize("name", ["describe", "change-slug", "close", "invite", "hand-over"])
def test_a_member_may_not_act(name):
    organization = OrganizationFactory.create()

    response = page_of(member_of(organization)).post(url(name, organization))

    assert response.status_code == 403


def test_another_organizations_people_are_not_found_by_their_ids():
    own, foreign = OrganizationFactory.create(), OrganizationFactory.create()
    stranger = MembershipFactory.create(organization=foreign)
    invitation = InvitationFactory.create(organization=foreign)
    client = page_of(owner_of(own))

    answers = [
        client.post(url("change-role", own, membership_id=stranger.pk), {"role": "admin"}),
        client.post(url("remove-member", own, membership_id=stranger.pk)),
        client.post(url("hand-over", own), {"member": str(stranger.pk)}),
        client.post(url("resend-invitation", own, invitation_id=invitation.pk)),
        client.post(url("revoke-invitation", own, invitation_id=invitation.pk)),
    ]

    assert [answer.status_code for answer in answers] == [404] * 5
    stranger.refresh_from_db()
    invitation.refresh_from_db()
    assert (stranger.role, invitation.revoked_at) == (Role.MEMBER, None)


def test_somebody_elses_key_is_not_found():
    organization = OrganizationFactory.create()
    other = member_of(organization)
    api_token_for(other)

    response = page_of(owner_of(organization)).post(
        url("revoke-api-key", organization, token_id=other.api_tokens.get().pk)
    )

    assert response.status_code == 404
    assert other.api_tokens.get().revoked_at is None


def test_a_demotion_holds_from_the_next_request_of_an_open_session():
    organization = OrganizationFactory.create()
    admin = MembershipFactory.create(organization=organization, role=Role.ADMIN)
    client = page_of(admin.user)
    before = client.get(url("audit", organization)).status_code

    members.change_role(admin, Role.MEMBER, actor=owner_of(organization))

    assert before == 200
    assert client.get(url("audit", organization)).status_code == 403
    assert client.post(url("invite", organization), {"email": "x@example.com"}).status_code == 403


def test_a_removed_member_finds_nothing_at_the_next_request():
    organization = OrganizationFactory.create()
    membership = MembershipFactory.create(organization=organization)
    client = page_of(membership.user)
    before = client.get(url("members", organization)).status_code

    members.remove(membership, actor=owner_of(organization))

    assert before == 200
    assert client.get(url("members", organization)).status_code == 404


def test_switching_makes_the_organization_current_and_reading_does_not():
    team = OrganizationFactory.create()
    owner = owner_of(team)
    personal = personal_organization(owner)
    client = page_of(owner)

    client.get(url("general", personal))
    owner.refresh_from_db()
    after_reading = owner.current_organization
    client.post(url("switch", personal))
    owner.refresh_from_db()

    assert after_reading == team
    assert owner.current_organization == personal


def test_switching_into_somebody_elses_organization_changes_nothing():
    person = UserFactory.create()
    before = person.current_organization_id

    response = page_of(person).post(url("switch", OrganizationFactory.create()))
    person.refresh_from_db()

    assert response.status_code == 404
    assert person.current_organization_id == before


@pytest.mark.parametrize("name", ACTS)
def test_every_act_needs_the_csrf_token(name):
    organization = OrganizationFactory.create()
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner_of(organization))

    response = client.post(url(name, organization), {"confirmation": organization.slug})
    organization.refresh_from_db()

    assert response.status_code == 403
    assert organization.closed_at is None


@pytest.mark.parametrize("name", ACTS)
def test_no_act_is_done_by_reading(name):
    organization = OrganizationFactory.create()

    response = page_of(owner_of(organization)).get(url(name, organization))

    assert response.status_code == 405


@pytest.mark.parametrize("name", PAGES)
def test_reading_a_page_writes_nothing(name):
    organization = OrganizationFactory.create()
    client = page_of(owner_of(organization))
    client.get(url("members", organization))  # the plan is derived, the activity noted

    with CaptureQueriesContext(connection) as captured:
        client.get(url(name, organization)).getvalue()

    verbs = {query["sql"].split()[0] for query in captured}
    assert verbs <= {"SELECT", "SAVEPOINT", "RELEASE", "DECLARE", "FETCH", "CLOSE"}


def test_what_a_form_does_not_offer_cannot_be_posted():
    organization = OrganizationFactory.create()
    owner = owner_of(organization)
    hostile = {
        "name": "Renamed",
        "language": "en",
        "time_zone": "UTC",
        "slug": "stolen",
        "kind": "personal",
        "closed_at": "2026-01-01",
        "is_staff": "1",
        "is_superuser": "1",
        "email": "other@example.com",
        "current_organization": str(uuid.uuid4()),
    }

    page_of(owner).post(url("describe", organization), hostile)
    page_of(owner).post(reverse("orgs:profile"), hostile)
    organization.refresh_from_db()
    owner.refresh_from_db()

    assert (organization.name, organization.kind, organization.closed_at) == (
        "Renamed",
        "team",
        None,
    )
    assert organization.slug != "stolen"
    assert (owner.is_staff, owner.is_superuser, owner.name) == (False, False, "Renamed")
    assert owner.email != "other@example.com"


def test_a_hostile_name_is_text_on_every_page():
    hostile = '"><script>alert(1)</script>'
    organization = OrganizationFactory.create(name=hostile)
    owner = owner_of(organization)
    type(owner).objects.filter(pk=owner.pk).update(name=hostile)
    MembershipFactory.create(organization=organization, user=UserFactory.create(name=hostile))
    client = page_of(owner)

    bodies = [
        client.get(url(name, organization)).content.decode()
        for name in ("general", "members", "api-keys", "audit")
    ]

    assert all("<script>alert" not in body for body in bodies)
    assert all("&lt;script&gt;" in body for body in bodies)


def test_the_members_page_says_how_many_seats_are_taken():
    """Hobby has five."""
    organization = OrganizationFactory.create()
    MembershipFactory.create(organization=organization)

    text = page_of(owner_of(organization)).get(url("members", organization)).content.decode()

    assert "2 of 5 seats in use." in text


def test_a_full_organization_refuses_the_invited_with_the_reason():
    organization = OrganizationFactory.create()
    invite_and_add(organization, 4)
    offer = InvitationFactory.create(organization=organization)
    invited = UserFactory.create(email=offer.email)
    client = page_of(invited)

    client.post(reverse("orgs:invitation-accept", kwargs={"token": offer.secret}))
    page = client.get(reverse("orgs:profile")).content.decode()

    assert "All 5 seats" in page
    assert not organization.memberships.filter(user=invited).exists()


def test_the_members_page_costs_the_same_queries_for_two_members_as_for_forty():
    organization = OrganizationFactory.create()
    client = page_of(owner_of(organization))
    invite_and_add(organization, 1)
    client.get(url("members", organization))  # the plan is derived, the activity noted

    few = queries_of(client, url("members", organization))
    invite_and_add(organization, 38)
    many = queries_of(client, url("members", organization))

    assert few == many <= 20


def test_the_catalogue_can_give_a_role_more_and_never_take_from_the_owner():
    organization = OrganizationFactory.create()
    person = member_of(organization)
    generous: capabilities.Policy = {
        Role.MEMBER: frozenset({Capability.AUDIT_VIEW}),
        Role.OWNER: frozenset(),
    }
    former = capabilities.policy_provider()
    capabilities.bind_policy(lambda: generous)
    try:
        audit_page = page_of(person).get(url("audit", organization))
        members_page = page_of(person).get(url("members", organization))
        owners_page = page_of(owner_of(organization)).get(url("members", organization))
    finally:
        capabilities.bind_policy(former)

    assert (audit_page.status_code, members_page.status_code) == (200, 403)
    assert owners_page.status_code == 200


def test_a_capability_that_does_not_exist_fails_when_the_view_is_loaded():
    with pytest.raises(ValueError, match="not a valid Capability"):
        capabilities.known("billing.mange")


def invite_and_add(organization, number):
    for _ in range(number):
        MembershipFactory.create(organization=organization)
        InvitationFactory.create(organization=organization)


def queries_of(client, path):
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)
