"""What people do by clicking: members, keys, invitations, settings."""

import re

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from orgs import tokens
from orgs.models import Membership, Role, User
from orgs.views.members import HEIRS_SHOWN
from tests.factories.orgs import (
    InvitationFactory,
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
    member_of,
    owner_of,
)

pytestmark = pytest.mark.django_db


class Browser:
    """Somebody logged in, on the pages of one organization."""

    def __init__(self, user, organization):
        self.client = Client()
        self.client.force_login(user)
        self.organization = organization

    def post(self, name, fields=None, **kwargs):
        """The text of the page that follows."""
        return self.send(name, fields, **kwargs).content.decode()

    def send(self, name, fields=None, *, follow=True, **kwargs):
        url = reverse(f"orgs:{name}", kwargs={"slug": self.organization.slug, **kwargs})
        return self.client.post(url, fields or {}, follow=follow)


@pytest.fixture
def organization():
    return OrganizationFactory.create(name="Hạ Long Studio")


@pytest.fixture
def browser(organization):
    """The owner's."""
    return Browser(owner_of(organization), organization)


def test_inviting_lists_the_invitation_and_mails_it(
    browser, organization, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        page = browser.post("invite", {"email": "new@example.com", "role": "member"})

    assert "Invitation sent to new@example.com." in page
    assert page.count("new@example.com") > 1
    assert mail.outbox[0].to == ["new@example.com"]


@pytest.mark.parametrize(
    "fields",
    [{"email": "no-address", "role": "member"}, {"email": "a@example.com", "role": "king"}, {}],
)
def test_an_invitation_form_with_a_mistake_comes_back_with_it(browser, organization, fields):
    answer = browser.send("invite", fields)

    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()
    assert not organization.invitations.exists()


def test_inviting_a_member_again_is_explained(browser, organization):
    member = member_of(organization)

    page = browser.post("invite", {"email": member.email, "role": "member"})

    assert f"{member.email} is a member already." in page


def test_an_admin_who_posts_the_owners_role_is_refused(organization):
    admin = Browser(member_of(organization, Role.ADMIN), organization)

    answer = admin.send("invite", {"email": "new@example.com", "role": "owner"})

    assert answer.status_code == 403
    assert not organization.invitations.exists()


def test_an_admin_is_not_offered_the_owners_role(organization):
    admin = Browser(member_of(organization, Role.ADMIN), organization)

    page = admin.client.get(reverse("orgs:members", args=[organization.slug])).content.decode()

    assert 'value="owner"' not in page
    assert 'value="admin"' in page


def test_an_invitation_is_sent_again_and_withdrawn(browser, organization):
    first = InvitationFactory.create(organization=organization)

    again = browser.post("resend-invitation", invitation_id=first.pk)
    second = organization.invitations.get(revoked_at=None)
    withdrawn = browser.post("revoke-invitation", invitation_id=second.pk)

    assert "A new link is on its way" in again
    assert second.pk != first.pk
    assert "The invitation no longer works." in withdrawn
    assert not organization.invitations.filter(revoked_at=None).exists()


def test_a_role_is_changed(browser, organization):
    membership = MembershipFactory.create(organization=organization)

    page = browser.post("change-role", {"role": "admin"}, membership_id=membership.pk)
    membership.refresh_from_db()

    assert f"{membership.user} is now Admin." in page
    assert membership.role == Role.ADMIN


def test_a_role_that_does_not_exist_is_explained(browser, organization):
    membership = MembershipFactory.create(organization=organization)

    page = browser.post("change-role", {"role": "king"}, membership_id=membership.pk)

    assert "There is no such role." in page


def test_demoting_the_last_owner_is_explained(browser, organization):
    own = organization.memberships.get()

    page = browser.post("change-role", {"role": "member"}, membership_id=own.pk)

    assert "An organization needs an owner." in page


def test_a_member_is_removed(browser, organization):
    membership = MembershipFactory.create(organization=organization)

    page = browser.post("remove-member", membership_id=membership.pk)

    assert f"{membership.user} is no longer a member." in page
    assert organization.memberships.count() == 1


def test_a_member_leaves_and_lands_in_their_own_organization(organization):
    person = member_of(organization)

    page = Browser(person, organization).post("leave")

    assert "You have left Hạ Long Studio." in page
    assert not organization.memberships.filter(user=person).exists()


def test_the_last_owner_does_not_leave(browser, organization):
    page = browser.post("leave")

    assert "An organization needs an owner." in page
    assert organization.memberships.count() == 1


def test_ownership_is_handed_over(browser, organization):
    membership = MembershipFactory.create(organization=organization)

    page = browser.post("hand-over", {"member": str(membership.pk)})
    membership.refresh_from_db()

    assert f"{membership.user} owns the organization now." in page
    assert membership.role == Role.OWNER


def test_among_very_many_members_the_new_owner_is_named_by_address(browser, organization):
    heir = MembershipFactory.create(organization=organization)
    crowd = [UserFactory.build(email=f"crowd-{n}@example.com") for n in range(HEIRS_SHOWN)]
    Membership.objects.bulk_create(
        Membership(organization=organization, user=person, role=Role.MEMBER)
        for person in User.objects.bulk_create(crowd)
    )
    address = reverse("orgs:members", kwargs={"slug": organization.slug})

    shown = browser.client.get(address).content.decode()
    nobody = browser.post("hand-over", {"email": "nobody@example.com"})
    page = browser.post("hand-over", {"email": heir.user.email.upper()})
    heir.refresh_from_db()

    assert "E-mail address of a member" in shown
    assert "Choose the member who becomes the owner." in nobody
    assert "owns the organization now." in page
    assert heir.role == Role.OWNER


@pytest.mark.parametrize("chosen", ["", "nobody", "1"])
def test_handing_over_to_nobody_asks_to_choose(browser, chosen):
    assert "Choose the member who becomes the owner." in browser.post(
        "hand-over", {"member": chosen}
    )


def test_handing_over_to_oneself_is_explained(browser, organization):
    page = browser.post("hand-over", {"member": str(organization.memberships.get().pk)})

    assert "You own this organization already." in page


def test_a_key_is_shown_once_works_and_is_revoked(browser, organization):
    fields = {"name": "deploys", "scope": "all", "days": "90"}
    created = browser.send("api-keys", fields, follow=False)
    secret = re.findall(r"llp_[\w-]{40,}", created.content.decode())[0]
    listed = browser.client.get(reverse("orgs:api-keys", args=[organization.slug]))
    token = tokens.find(secret)
    assert token is not None

    browser.post("revoke-api-key", token_id=token.pk)

    assert created.status_code == 201
    assert "no-store" in created["Cache-Control"]
    assert secret not in listed.content.decode()
    assert "deploys" in listed.content.decode()
    assert (token.name, token.scopes) == ("deploys", ["read", "write"])
    assert token.expires_at is not None
    assert tokens.find(secret) is None


def test_a_key_for_reading_that_never_expires(browser, organization):
    browser.post("api-keys", {"name": "reports", "scope": "read", "days": ""})

    token = owner_of(organization).api_tokens.get()
    assert (token.scopes, token.expires_at) == (["read"], None)


def test_a_key_without_a_name_is_not_made(browser, organization):
    answer = browser.send("api-keys", {"name": "", "scope": "all", "days": "1000000"})

    assert answer.status_code == 422
    assert not owner_of(organization).api_tokens.exists()


def test_settings_are_saved_by_an_admin(organization):
    admin = Browser(member_of(organization, Role.ADMIN), organization)

    page = admin.post(
        "describe", {"name": "Sơn Studio", "language": "vi", "time_zone": "Asia/Ho_Chi_Minh"}
    )
    organization.refresh_from_db()

    assert "Saved." in page
    assert (organization.name, organization.language, organization.time_zone) == (
        "Sơn Studio",
        "vi",
        "Asia/Ho_Chi_Minh",
    )


def test_settings_with_a_mistake_come_back_with_it(browser, organization):
    answer = browser.send("describe", {"name": "", "language": "xx", "time_zone": "Mars"})
    organization.refresh_from_db()

    assert answer.status_code == 422
    assert organization.name == "Hạ Long Studio"


def test_a_member_reads_the_settings_without_a_form(organization):
    member = Browser(member_of(organization), organization)

    page = member.client.get(reverse("orgs:general", args=[organization.slug])).content.decode()

    assert "Hạ Long Studio" in page
    assert reverse("orgs:describe", args=[organization.slug]) not in page
    assert reverse("orgs:close", args=[organization.slug]) not in page


def test_the_front_page_of_an_organization_leads_to_its_settings(browser, organization):
    answer = browser.client.get(reverse("orgs:home", args=[organization.slug]))

    assert answer["Location"] == reverse("orgs:general", args=[organization.slug])


def test_an_invited_person_declines_by_a_click():
    invitation = InvitationFactory.create()
    invited = UserFactory.create(email=invitation.email)
    client = Client()
    client.force_login(invited)

    page = client.post(
        reverse("orgs:invitation-decline", kwargs={"token": invitation.secret}), follow=True
    )

    assert "You have declined the invitation." in page.content.decode()
    assert not invitation.organization.memberships.filter(user=invited).exists()


def test_the_address_form_with_a_mistake_comes_back_with_it(browser, organization):
    answer = browser.send("change-slug", {"slug": "NO"})
    organization.refresh_from_db()

    assert answer.status_code == 422
    assert organization.slug != "NO"
