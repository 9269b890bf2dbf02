"""Who is in an organization: invite, accept, change role, remove, leave, hand over.

Every verb locks the organization's row first, so that two of them take turns.
"""

import secrets
from datetime import timedelta

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from orgs import audit, capabilities, messages, organizations, signals
from orgs.capabilities import Capability
from orgs.exceptions import (
    AlreadyMember,
    InvitationForSomeoneElse,
    InvitationInvalid,
    LastOwner,
    NotAllowed,
    OrganizationNotFound,
    PersonalOrganization,
    Unprocessable,
)
from orgs.models import Invitation, Membership, Organization, Role, User
from orgs.tokens import digest

INVITATION_LIFETIME = timedelta(days=7)  # E5
MAX_OPEN_INVITATIONS = 200  # more would be a mailing, and longer than the page that lists them
_RANK = {Role.MEMBER: 0, Role.ADMIN: 1, Role.OWNER: 2}


def invite(organization: Organization, email: str, role: str, *, inviter: User) -> Invitation:
    """Mails a single-use link; inviting an address again replaces its former link."""
    address = _address(email)
    with transaction.atomic():
        current = organizations.lock(organization)
        _refuse_personal(current)
        _may_grant(_role_of(current, inviter), _known(role))
        if current.memberships.filter(user__email=address).exists():
            raise AlreadyMember(_("%(email)s is a member already.") % {"email": address})
        open_invitations(current).filter(email=address).update(revoked_at=timezone.now())
        _refuse_flood(current)
        signals.member_inviting.send(Membership, organization=current, actor=inviter)
        return _send(current, address, role, inviter)


def resend(invitation: Invitation, *, actor: User) -> Invitation:
    """A new link with a new expiry; the former link stops working."""
    return invite(invitation.organization, invitation.email, invitation.role, inviter=actor)


def revoke_invitation(invitation: Invitation, *, actor: User) -> None:
    with transaction.atomic():
        current = organizations.lock(invitation.organization)
        ended = open_invitations(current).filter(pk=invitation.pk).update(revoked_at=timezone.now())
        if ended:
            audit.record(
                "invitation.revoked", organization=current, actor=actor, target=invitation.email
            )


def open_invitations(organization: Organization) -> QuerySet[Invitation]:
    """Neither used nor withdrawn; the expired ones among them can be sent again."""
    return organization.invitations.filter(accepted_at=None, revoked_at=None)


def invitation_for(secret: str) -> Invitation:
    """The usable invitation behind a link; raises InvitationInvalid for any other."""
    found = _usable(Invitation.objects.filter(token_hash=digest(secret))).first()
    if found is None:
        raise _invalid()
    return found


def accept(secret: str, *, user: User) -> Membership:
    """Once, by the person it was sent to. Quotas may veto for want of a seat (C21)."""
    with transaction.atomic():
        organization = organizations.lock(invitation_for(secret).organization)
        invitation = _claim(secret, user)
        if organization.memberships.filter(user=user).exists():
            raise AlreadyMember(_("You are a member already."))
        signals.member_adding.send(
            Membership,
            organization=organization,
            user=user,
            role=invitation.role,
            invitation=invitation,
        )
        membership = Membership.objects.create(
            organization=organization, user=user, role=invitation.role
        )
        invitation.accepted_at = timezone.now()
        invitation.save(update_fields=["accepted_at"])
        organizations.make_current(user, organization)
        audit.record(
            "member.joined",
            organization=organization,
            actor=user,
            target=user.email,
            after={"role": invitation.role},
        )
        signals.member_added.send(
            Membership, organization=organization, membership=membership, invitation=invitation
        )
        return membership


def decline(secret: str, *, user: User) -> None:
    with transaction.atomic():
        organization = organizations.lock(invitation_for(secret).organization)
        invitation = _claim(secret, user)
        invitation.revoked_at = timezone.now()
        invitation.save(update_fields=["revoked_at"])
        audit.record(
            "invitation.declined", organization=organization, actor=user, target=invitation.email
        )


def change_role(membership: Membership, role: str, *, actor: User) -> Membership:
    """Holds from the person's next request. Nobody grants, or touches, more than they have."""
    with transaction.atomic():
        organization = organizations.lock(membership.organization)
        subject = _reread(membership)
        own = _role_of(organization, actor)
        _may_grant(own, _known(role))
        _may_touch(own, subject)
        before = subject.role
        if before == role:
            return subject
        if before == Role.OWNER:
            _refuse_last_owner(organization)
        subject.role = role
        subject.save(update_fields=["role"])
        audit.record(
            "member.role_changed",
            organization=organization,
            actor=actor,
            target=subject.user.email,
            before={"role": before},
            after={"role": role},
        )
        signals.role_changed.send(
            Membership, organization=organization, membership=subject, before=before
        )
        return subject


def remove(membership: Membership, *, actor: User) -> None:
    """Access ends at once: every page and every token is checked against the membership (E4)."""
    with transaction.atomic():
        organization = organizations.lock(membership.organization)
        subject = _reread(membership)
        if subject.user_id != actor.pk:
            _may_touch(_role_of(organization, actor), subject)
        _end(organization, subject, "member.removed", actor)


def leave(organization: Organization, *, user: User) -> None:
    with transaction.atomic():
        current = organizations.lock(organization)
        subject = current.memberships.select_related("user").filter(user=user).first()
        if subject is None:
            raise OrganizationNotFound(_("There is no such organization."))
        _end(current, subject, "member.left", user)


def hand_over(membership: Membership, *, owner: User) -> Membership:
    """The receiver becomes owner and the giver admin, in one step."""
    with transaction.atomic():
        organization = organizations.lock(membership.organization)
        _refuse_personal(organization)
        giver = organization.memberships.filter(user=owner, role=Role.OWNER).first()
        receiver = _reread(membership)
        if giver is None:
            raise NotAllowed(_("Only an owner can hand over ownership."))
        if receiver.pk == giver.pk:
            raise Unprocessable(_("You own this organization already."), field="member")
        before = receiver.role
        _set_role(receiver, Role.OWNER)
        _set_role(giver, Role.ADMIN)
        audit.record(
            "ownership.handed_over",
            organization=organization,
            actor=owner,
            target=receiver.user.email,
            before={"owner": owner.email},
            after={"owner": receiver.user.email},
        )
        _announce_role(organization, receiver, before)
        _announce_role(organization, giver, Role.OWNER)
        messages.ownership_received(receiver, owner)
        return receiver


def grantable_roles(role: str) -> list[Role]:
    """What someone with this role may give to others, least first: up to their own (E6)."""
    return [candidate for candidate in _RANK if _RANK[candidate] <= _RANK[Role(role)]]


def _send(organization: Organization, address: str, role: str, inviter: User) -> Invitation:
    secret = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        organization=organization,
        email=address,
        role=role,
        token_hash=digest(secret),
        invited_by=inviter,
        expires_at=timezone.now() + INVITATION_LIFETIME,
    )
    audit.record(
        "member.invited",
        organization=organization,
        actor=inviter,
        target=address,
        after={"role": role},
    )
    messages.invitation(invitation, secret)
    return invitation


def _claim(secret: str, user: User) -> Invitation:
    """The row, locked; the loser of two parallel clicks finds it used."""
    invitation = _usable(
        Invitation.objects.select_for_update(of=("self",)).filter(token_hash=digest(secret))
    ).first()
    if invitation is None:
        raise _invalid()
    if not is_address_of(invitation.email, user):
        raise InvitationForSomeoneElse(
            _("This invitation was sent to another address. Log in with that one to accept it.")
        )
    return invitation


def _usable(invitations: QuerySet[Invitation]) -> QuerySet[Invitation]:
    return invitations.select_related("organization", "invited_by").filter(
        accepted_at=None,
        revoked_at=None,
        expires_at__gt=timezone.now(),
        organization__closed_at=None,
    )


def _invalid() -> InvitationInvalid:
    return InvitationInvalid(_("This invitation has been used, withdrawn or has expired."))


def is_address_of(email: str, user: User) -> bool:
    """Only an address that the person has proved to own."""
    addresses = EmailAddress.objects.filter(user=user, email__iexact=email, verified=True)
    return bool(addresses.exists())


def _address(email: str) -> str:
    address = email.strip().lower()
    try:
        validate_email(address)
    except ValidationError as error:
        raise Unprocessable(_("Enter a valid e-mail address."), field="email") from error
    return address


def _known(role: str) -> Role:
    try:
        return Role(role)
    except ValueError as error:
        raise Unprocessable(_("There is no such role."), field="role") from error


def _role_of(organization: Organization, user: User) -> Role:
    """Read under the lock: the page that offered the act may be an hour old (E3)."""
    role = organization.memberships.filter(user=user).values_list("role", flat=True).first()
    if role is None:
        raise OrganizationNotFound(_("There is no such organization."))
    return Role(role)


def _may_grant(own: Role, granted: Role) -> None:
    if _cannot_manage(own) or _RANK[granted] > _RANK[own]:
        raise NotAllowed(_("Nobody can give a role above their own."))


def _may_touch(own: Role, subject: Membership) -> None:
    if _cannot_manage(own) or _RANK[Role(subject.role)] > _RANK[own]:
        raise NotAllowed(_("Your role does not reach this member."))


def _cannot_manage(own: Role) -> bool:
    return Capability.MEMBERS_MANAGE not in capabilities.of_role(own)


def _refuse_personal(organization: Organization) -> None:
    if organization.kind == Organization.Kind.PERSONAL:
        raise PersonalOrganization(
            _("A personal organization has one member. Create a team to work with others.")
        )


def _refuse_flood(organization: Organization) -> None:
    if open_invitations(organization).count() >= MAX_OPEN_INVITATIONS:
        raise Unprocessable(
            _("There are %(count)s open invitations. Withdraw some before you send more.")
            % {"count": MAX_OPEN_INVITATIONS},
            field="email",
        )


def _refuse_last_owner(organization: Organization) -> None:
    if organization.memberships.filter(role=Role.OWNER).count() == 1:
        raise LastOwner(_("An organization needs an owner. Hand over ownership first."))


def _reread(membership: Membership) -> Membership:
    found = (
        Membership.objects.select_related("user", "organization").filter(pk=membership.pk).first()
    )
    if found is None:
        raise OrganizationNotFound(_("This person is no longer a member."))
    return found


def _end(organization: Organization, subject: Membership, action: str, actor: User) -> None:
    if subject.role == Role.OWNER:
        _refuse_last_owner(organization)
    membership_id, user = subject.pk, subject.user
    subject.delete()
    User.objects.filter(pk=user.pk, current_organization=organization).update(
        current_organization=None
    )
    audit.record(
        action,
        organization=organization,
        actor=actor,
        target=user.email,
        before={"role": subject.role},
    )
    signals.member_removed.send(
        Membership, organization=organization, user=user, membership_id=membership_id
    )


def _set_role(membership: Membership, role: Role) -> None:
    membership.role = role
    membership.save(update_fields=["role"])


def _announce_role(organization: Organization, membership: Membership, before: str) -> None:
    signals.role_changed.send(
        Membership, organization=organization, membership=membership, before=before
    )
