"""Invitations: single use, hashed, for one address, for a week, never above the inviter."""

import threading
from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from orgs import members, messages, organizations, signals, tokens
from orgs.exceptions import (
    AlreadyMember,
    DomainError,
    InvitationForSomeoneElse,
    InvitationInvalid,
    NotAllowed,
    Unprocessable,
)
from orgs.models import AuditEntry, Invitation, Membership, Role
from tests.factories.orgs import (
    InvitationFactory,
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
    owner_of,
)

pytestmark = pytest.mark.django_db


def test_an_invitation_is_mailed_with_a_link_whose_secret_is_stored_nowhere(
    django_capture_on_commit_callbacks,
):
    organization = OrganizationFactory.create(name="Hạ Long Studio")

    with django_capture_on_commit_callbacks(execute=True):
        invitation = members.invite(
            organization, " New@Example.com ", Role.MEMBER, inviter=owner_of(organization)
        )

    secret = secret_in(mail.outbox[0])
    assert mail.outbox[0].to == ["new@example.com"]
    assert tokens.digest(secret) == invitation.token_hash
    assert secret not in str(list(Invitation.objects.values())) + str(
        list(AuditEntry.objects.values())
    )


def test_the_mail_is_text_and_html_in_the_language_of_the_organization(
    django_capture_on_commit_callbacks,
):
    organization = OrganizationFactory.create(name="<b>Phở</b>", language="vi")

    with django_capture_on_commit_callbacks(execute=True):
        members.invite(organization, "new@example.com", Role.MEMBER, inviter=owner_of(organization))

    html = html_of(mail.outbox[0])
    assert "<b>Phở</b>" in mail.outbox[0].body
    assert "&lt;b&gt;Phở&lt;/b&gt;" in html
    assert '<html lang="vi">' in html


def test_a_line_break_in_a_name_adds_no_header_to_the_mail(django_capture_on_commit_callbacks):
    organization = OrganizationFactory.create(name="Team\r\nBcc: victim@example.com")

    with django_capture_on_commit_callbacks(execute=True):
        members.invite(organization, "new@example.com", Role.MEMBER, inviter=owner_of(organization))

    assert "\n" not in mail.outbox[0].subject
    assert mail.outbox[0].message()["Bcc"] is None


@pytest.mark.parametrize(
    "address", ["a@example.com\r\nBcc: b@example.com", "no-address", "", "a b@example.com"]
)
def test_an_address_that_is_none_is_refused(address):
    organization = OrganizationFactory.create()

    with pytest.raises(Unprocessable):
        members.invite(organization, address, Role.MEMBER, inviter=owner_of(organization))

    assert not organization.invitations.exists()


def test_an_invitation_that_is_rolled_back_sends_no_mail(django_capture_on_commit_callbacks):
    organization = OrganizationFactory.create()
    owner = owner_of(organization)
    members.invite(organization, "once@example.com", Role.MEMBER, inviter=owner)

    with django_capture_on_commit_callbacks(execute=True), pytest.raises(AlreadyMember):
        members.invite(organization, owner.email, Role.MEMBER, inviter=owner)

    assert mail.outbox == []


@pytest.mark.parametrize(
    ("inviter", "role", "allowed"),
    [
        (Role.OWNER, Role.OWNER, True),
        (Role.OWNER, Role.ADMIN, True),
        (Role.OWNER, Role.MEMBER, True),
        (Role.ADMIN, Role.OWNER, False),
        (Role.ADMIN, Role.ADMIN, True),
        (Role.ADMIN, Role.MEMBER, True),
        (Role.MEMBER, Role.OWNER, False),
        (Role.MEMBER, Role.ADMIN, False),
        (Role.MEMBER, Role.MEMBER, False),
    ],
)
def test_nobody_invites_above_their_own_role(inviter, role, allowed):
    organization = OrganizationFactory.create()
    person = MembershipFactory.create(organization=organization, role=inviter).user

    if allowed:
        members.invite(organization, "new@example.com", role, inviter=person)
    else:
        with pytest.raises(NotAllowed):
            members.invite(organization, "new@example.com", role, inviter=person)

    assert organization.invitations.filter(role=role).exists() is allowed


def test_an_accepted_invitation_makes_a_member_once():
    invitation = InvitationFactory.create(role=Role.ADMIN)
    invited = UserFactory.create(email=invitation.email)

    membership = members.accept(invitation.secret, user=invited)

    assert membership.role == Role.ADMIN
    assert invited.current_organization == invitation.organization
    with pytest.raises(InvitationInvalid):
        members.accept(invitation.secret, user=invited)


def test_an_invitation_cannot_be_accepted_by_somebody_else():
    invitation = InvitationFactory.create()
    thief = UserFactory.create()

    with pytest.raises(InvitationForSomeoneElse):
        members.accept(invitation.secret, user=thief)

    assert not invitation.organization.memberships.filter(user=thief).exists()


def test_an_address_that_was_only_claimed_does_not_open_its_invitation():
    invitation = InvitationFactory.create()
    thief = UserFactory.create(email=invitation.email)
    EmailAddress.objects.filter(user=thief).update(verified=False)

    with pytest.raises(InvitationForSomeoneElse):
        members.accept(invitation.secret, user=thief)

    assert not invitation.organization.memberships.filter(user=thief).exists()


def test_an_invitation_ends_after_a_week(time_machine):
    organization = OrganizationFactory.create()
    invited = UserFactory.create(email="late@example.com")
    invitation = InvitationFactory.create(organization=organization, email=invited.email)

    time_machine.move_to(timezone.now() + members.INVITATION_LIFETIME + timedelta(seconds=1))

    with pytest.raises(InvitationInvalid):
        members.accept(invitation.secret, user=invited)


def test_a_withdrawn_invitation_opens_nothing():
    invitation = InvitationFactory.create()
    invited = UserFactory.create(email=invitation.email)

    members.revoke_invitation(invitation, actor=owner_of(invitation.organization))

    with pytest.raises(InvitationInvalid):
        members.accept(invitation.secret, user=invited)


def test_sending_again_ends_the_former_link(django_capture_on_commit_callbacks):
    former = InvitationFactory.create()
    invited = UserFactory.create(email=former.email)

    with django_capture_on_commit_callbacks(execute=True):
        members.resend(former, actor=owner_of(former.organization))

    with pytest.raises(InvitationInvalid):
        members.accept(former.secret, user=invited)
    assert members.accept(secret_in(mail.outbox[0]), user=invited).user == invited


def test_the_invitations_of_a_closed_organization_open_nothing():
    invitation = InvitationFactory.create()
    invited = UserFactory.create(email=invitation.email)

    organizations.close(invitation.organization, actor=owner_of(invitation.organization))

    with pytest.raises(InvitationInvalid):
        members.accept(invitation.secret, user=invited)


def test_a_declined_invitation_is_over():
    invitation = InvitationFactory.create()
    invited = UserFactory.create(email=invitation.email)

    members.decline(invitation.secret, user=invited)

    with pytest.raises(InvitationInvalid):
        members.accept(invitation.secret, user=invited)


def test_a_veto_keeps_the_person_out_and_the_invitation_open():
    invitation = InvitationFactory.create()
    invited = UserFactory.create(email=invitation.email)

    def veto(**kwargs):
        raise Full("No seat is left.")

    signals.member_adding.connect(veto)
    try:
        with pytest.raises(Full):
            members.accept(invitation.secret, user=invited)
    finally:
        signals.member_adding.disconnect(veto)

    assert not invitation.organization.memberships.filter(user=invited).exists()
    assert members.accept(invitation.secret, user=invited).user == invited


@pytest.mark.django_db(transaction=True)
def test_of_two_parallel_acceptances_one_wins():
    invitation = InvitationFactory.create()
    invited = UserFactory.create(email=invitation.email)

    outcomes = at_once(*[lambda: joined(invitation, invited)] * 2)

    assert sorted(outcomes) == ["invitation_invalid", "joined"]
    assert (
        Membership.objects.filter(user=invited, organization=invitation.organization).count() == 1
    )


@pytest.mark.django_db(transaction=True)
def test_of_two_people_at_the_last_seat_one_gets_it():
    """Hobby has five seats."""
    organization = OrganizationFactory.create()
    for _ in range(3):
        MembershipFactory.create(organization=organization)
    offers = [InvitationFactory.create(organization=organization) for _ in range(2)]
    invited = [UserFactory.create(email=offer.email) for offer in offers]

    outcomes = at_once(
        *(
            lambda offer=offer, person=person: joined(offer, person)
            for offer, person in zip(offers, invited, strict=True)
        )
    )

    assert sorted(outcomes) == ["joined", "quota_exceeded"]
    assert organization.memberships.count() == 5


def test_the_link_leads_to_our_site_whatever_host_the_request_named(
    client, settings, django_capture_on_commit_callbacks
):
    settings.ALLOWED_HOSTS = ["*"]
    settings.SITE_URL = "https://ledgerline.example"
    organization = OrganizationFactory.create()
    client.force_login(owner_of(organization))

    with django_capture_on_commit_callbacks(execute=True):
        client.post(
            reverse("orgs:invite", kwargs={"slug": organization.slug}),
            {"email": "new@example.com", "role": "member"},
            headers={"host": "evil.example"},
        )

    assert "https://ledgerline.example/invitations/" in mail.outbox[0].body
    assert "evil.example" not in mail.outbox[0].message().as_string()


def test_the_landing_page_offers_the_anonymous_a_login_that_comes_back(client):
    invitation = InvitationFactory.create()
    url = reverse("orgs:invitation", kwargs={"token": invitation.secret})

    response = client.get(url)

    assert response.status_code == 200
    assert f"?next={url.replace('/', '%2F')}" in response.content.decode()
    assert "no-store" in response["Cache-Control"]


def test_the_landing_page_tells_somebody_else_to_change_the_login(client):
    invitation = InvitationFactory.create()
    client.force_login(UserFactory.create())

    page = client.get(reverse("orgs:invitation", kwargs={"token": invitation.secret}))
    answer = client.post(reverse("orgs:invitation-accept", kwargs={"token": invitation.secret}))

    assert "Accept" not in page.content.decode().split("<main")[1].split("sign")[0]
    assert answer.status_code == 302
    assert invitation.organization.memberships.count() == 1


def test_the_invited_person_accepts_by_a_click(client):
    invitation = InvitationFactory.create()
    invited = UserFactory.create(email=invitation.email)
    client.force_login(invited)

    client.post(reverse("orgs:invitation-accept", kwargs={"token": invitation.secret}))

    assert invitation.organization.memberships.filter(user=invited).exists()


def test_an_unknown_link_and_a_used_one_look_the_same(client):
    used = InvitationFactory.create(accepted_at=timezone.now())

    unknown_page = client.get(reverse("orgs:invitation", kwargs={"token": "x" * 43}))
    used_page = client.get(reverse("orgs:invitation", kwargs={"token": used.secret}))

    assert (unknown_page.status_code, used_page.status_code) == (410, 410)
    assert sentence_on(unknown_page) == sentence_on(used_page)


def test_the_post_office_can_be_taken_over():
    posted: list[messages.Mail] = []
    organization = OrganizationFactory.create()
    messages.bind_post_office(posted.append)
    try:
        members.invite(organization, "new@example.com", Role.MEMBER, inviter=owner_of(organization))
    finally:
        messages.bind_post_office(None)

    assert [letter.to for letter in posted] == ["new@example.com"]
    assert posted[0].key.startswith("invitation:")


class Full(DomainError):
    """As quotas would refuse."""

    status = 402


def joined(invitation, person):
    """What came of it: joined, or the code of the refusal."""
    try:
        members.accept(invitation.secret, user=person)
    except DomainError as refusal:
        return refusal.code
    return "joined"


def at_once(*acts):
    """Each act in a thread of its own, on a connection of its own, after a common start."""
    together = threading.Barrier(len(acts), timeout=10)
    outcomes = []

    def run(act):
        try:
            together.wait()
            outcomes.append(act())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return outcomes


def html_of(message):
    return message.alternatives[0].content


def secret_in(message):
    return message.body.split("/invitations/")[1].split("/")[0]


def sentence_on(response):
    return response.content.decode().split("data-sentence>")[1].split("<")[0]
