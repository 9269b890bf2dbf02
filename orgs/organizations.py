"""What is done to organizations: create, describe, change the slug, close."""

from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _

from orgs import audit, signals, slugs
from orgs.exceptions import OrganizationNotFound, PersonalOrganization
from orgs.models import Membership, Organization, Role, User

_ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class Description:
    """What an organization says of itself; billing_email may be empty."""

    name: str
    language: str
    time_zone: str
    billing_email: str = ""


def create_personal(user: User) -> Organization:
    """Every user has exactly one; a second call returns the first's."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        existing = personal_of(user)
        if existing is not None:
            return existing
        name = user.name or user.email.partition("@")[0]
        organization = _create(name, Organization.Kind.PERSONAL, user)
        User.objects.filter(pk=user.pk, current_organization=None).update(
            current_organization=organization
        )
        user.current_organization = user.current_organization or organization
        return organization


def create_team(user: User, name: str, *, slug: str = "") -> Organization:
    """The creator becomes its owner, and it becomes their current organization."""
    with transaction.atomic():
        organization = _create(name, Organization.Kind.TEAM, user, slug)
        make_current(user, organization)
        return organization


def personal_of(user: User) -> Organization | None:
    return (
        Organization.objects.open()
        .filter(
            kind=Organization.Kind.PERSONAL, memberships__user=user, memberships__role=Role.OWNER
        )
        .order_by("created_at")
        .first()
    )


def owned_alone(user: User) -> list[Organization]:
    """Teams that would have no owner without them."""
    owned = Organization.objects.open().filter(
        kind=Organization.Kind.TEAM, memberships__user=user, memberships__role=Role.OWNER
    )
    others = Membership.objects.filter(organization=OuterRef("pk"), role=Role.OWNER).exclude(
        user=user
    )
    return list(owned.exclude(Exists(others)).order_by("name", "slug"))


def make_current(user: User, organization: Organization) -> None:
    User.objects.filter(pk=user.pk).update(current_organization=organization)
    user.current_organization = organization


def describe(organization: Organization, description: Description, *, actor: User) -> Organization:
    with transaction.atomic():
        current = lock(organization)
        after = vars(description)
        before = {field: getattr(current, field) for field in after}
        if before == after:
            return current
        for field, value in after.items():
            setattr(current, field, value)
        current.save(update_fields=list(after))
        changed = {field for field in after if before[field] != after[field]}
        _record_change("organization.described", current, actor, before, after, changed)
        signals.organization_renamed.send(Organization, organization=current, actor=actor)
        return current


def rename(organization: Organization, name: str, *, actor: User) -> Organization:
    description = Description(
        name=name,
        language=organization.language,
        time_zone=organization.time_zone,
        billing_email=organization.billing_email,
    )
    return describe(organization, description, actor=actor)


def change_slug(organization: Organization, slug: str, *, actor: User) -> Organization:
    """The former slug stays this organization's for ever: nobody else can take it."""
    try:
        with transaction.atomic():
            current = lock(organization)
            if current.slug == slug:
                return current
            before = current.slug
            current.slug = slugs.check(slug, organization=current)
            current.save(update_fields=["slug"])
            audit.record(
                "organization.slug_changed",
                organization=current,
                actor=actor,
                before={"slug": before},
                after={"slug": slug},
            )
            return current
    except IntegrityError as error:
        raise slugs.taken(slug) from error


def close(
    organization: Organization, *, actor: User | None, with_account: bool = False
) -> Organization:
    """Closed for ever: its pages answer 404. What names people is erased later (orgs.deletions)."""
    with transaction.atomic():
        current = lock(organization)
        if current.kind == Organization.Kind.PERSONAL and not with_account:
            raise PersonalOrganization(_("A personal organization is closed with its account."))
        signals.organization_closing.send(Organization, organization=current, actor=actor)
        current.closed_at = timezone.now()
        current.save(update_fields=["closed_at"])
        current.invitations.filter(accepted_at=None, revoked_at=None).update(
            revoked_at=current.closed_at
        )
        User.objects.filter(current_organization=current).update(current_organization=None)
        audit.record("organization.closed", organization=current, actor=actor)
        signals.organization_closed.send(Organization, organization=current, actor=actor)
        return current


def lock(organization: Organization) -> Organization:
    """The open organization's row, held to the end of the transaction: verbs take turns on it."""
    current: Organization | None = (
        Organization.objects.open()
        .select_for_update(no_key=True, of=("self",))
        .filter(pk=organization.pk)
        .first()
    )
    if current is None:
        raise OrganizationNotFound(_("There is no such organization."))
    return current


def _create(name: str, kind: str, owner: User, slug: str = "") -> Organization:
    if slug:
        slugs.check(slug)
    organization = _insert(name, kind, owner, slug)
    membership = Membership.objects.create(organization=organization, user=owner, role=Role.OWNER)
    audit.record(
        "organization.created",
        organization=organization,
        actor=owner,
        after={"name": organization.name, "slug": organization.slug, "kind": kind},
    )
    signals.organization_created.send(Organization, organization=organization, actor=owner)
    signals.member_added.send(
        Membership, organization=organization, membership=membership, invitation=None
    )
    return organization


def _insert(name: str, kind: str, owner: User, slug: str) -> Organization:
    """Two sign-ups of one name may race for a slug: the loser tries with another ending."""
    candidate = slug
    for _attempt in range(_ATTEMPTS):
        candidate = slug or slugs.for_name(name)
        try:
            with transaction.atomic():
                return Organization.objects.create(
                    name=name,
                    slug=candidate,
                    kind=kind,
                    language=owner.language,
                    time_zone=owner.time_zone,
                )
        except IntegrityError as error:
            if slug:
                raise slugs.taken(slug) from error
    raise slugs.taken(candidate)


def _record_change(
    action: str,
    organization: Organization,
    actor: User,
    before: dict[str, Any],
    after: dict[str, Any],
    changed: set[str],
) -> None:
    audit.record(
        action,
        organization=organization,
        actor=actor,
        before={field: before[field] for field in sorted(changed)},
        after={field: after[field] for field in sorted(changed)},
    )
