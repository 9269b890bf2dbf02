"""Staff look at people and organizations; they rewrite nothing past the verbs."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client

from orgs.models import AuditEntry, Role, User
from tests.factories.orgs import (
    InvitationFactory,
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
    api_token_for,
    owner_of,
)

pytestmark = pytest.mark.django_db

LISTS = ["user", "organization", "membership", "invitation", "personaltoken", "auditentry"]


@pytest.fixture
def staff(settings):
    """A superuser, with the question for a second factor left to its own tests."""
    settings.ADMIN_REQUIRES_MFA = False
    user = UserFactory.create()
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


@pytest.mark.parametrize("name", LISTS)
def test_every_list_and_its_search_open(staff, name):
    organization = OrganizationFactory.create()
    MembershipFactory.create(organization=organization)
    InvitationFactory.create(organization=organization)
    api_token_for(owner_of(organization))

    assert staff.get(f"/admin/orgs/{name}/").status_code == 200
    assert staff.get(f"/admin/orgs/{name}/?q=a").status_code == 200


@pytest.mark.parametrize("name", [name for name in LISTS if name != "user"])
def test_staff_neither_add_nor_change_nor_delete_what_verbs_change(staff, name):
    organization = OrganizationFactory.create()
    rows = {
        "organization": organization,
        "membership": organization.memberships.get(),
        "invitation": InvitationFactory.create(organization=organization),
        "personaltoken": token_of(owner_of(organization)),
        "auditentry": AuditEntry.objects.filter(organization=organization).first(),
    }
    here = f"/admin/orgs/{name}"

    answers = [
        staff.get(f"{here}/add/").status_code,
        staff.post(f"{here}/{rows[name].pk}/change/", {"name": "x"}).status_code,
        staff.post(f"{here}/{rows[name].pk}/delete/", {"post": "yes"}).status_code,
    ]

    assert answers == [403, 403, 403]
    assert staff.get(f"{here}/{rows[name].pk}/change/").status_code == 200


def test_no_secret_hash_is_on_a_page(staff):
    token = token_of(UserFactory.create())
    invitation = InvitationFactory.create()

    pages = [
        staff.get(f"/admin/orgs/personaltoken/{token.pk}/change/").content.decode(),
        staff.get(f"/admin/orgs/invitation/{invitation.pk}/change/").content.decode(),
    ]

    assert token.token_hash not in pages[0]
    assert invitation.token_hash not in pages[1]


def test_switching_a_person_off_is_written_down_and_ends_their_access(staff):
    organization = OrganizationFactory.create()
    person = owner_of(organization)
    theirs = Client()
    theirs.force_login(person)

    staff.post(
        f"/admin/orgs/user/{person.pk}/change/",
        {"name": person.name, "language": "en", "time_zone": "UTC", **no_inlines()},
    )

    entry: Any = AuditEntry.objects.get(action="person.access_changed")
    assert (entry.before["is_active"], entry.after["is_active"]) == (True, False)
    assert theirs.get(f"/o/{organization.slug}/settings/general/").status_code == 302


def test_a_person_that_staff_add_has_a_personal_organization(staff):
    staff.post(
        "/admin/orgs/user/add/",
        {
            "email": "Added@Example.com",
            "usable_password": "true",
            "password1": "correct-horse-battery",
            "password2": "correct-horse-battery",
        },
    )

    added = User.objects.get(email="added@example.com")
    assert added.memberships.get().role == Role.OWNER


def test_a_person_is_not_deleted(staff):
    person = UserFactory.create()

    assert staff.post(f"/admin/orgs/user/{person.pk}/delete/", {"post": "yes"}).status_code == 403


def token_of(user):
    api_token_for(user)
    return user.api_tokens.get()


def no_inlines():
    return {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}


def test_staff_take_a_lost_second_factor_away_and_see_no_seed(staff):
    user = UserFactory.create()
    factor = Authenticator.objects.create(user=user, type="totp", data={"secret": "the-seed"})
    here = f"/admin/mfa/authenticator/{factor.pk}"

    page = staff.get(f"{here}/change/")
    staff.post(f"{here}/delete/", {"post": "yes"})

    assert page.status_code == 200
    assert "the-seed" not in page.content.decode()
    assert not Authenticator.objects.exists()
    entry = AuditEntry.objects.get(action="person.second_factor_removed")
    assert (entry.target, entry.before) == (user.email, {"type": "totp"})
