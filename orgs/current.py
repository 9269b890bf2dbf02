"""Which organization a request means, and whether the person may know of it."""

import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.request import Request
from structlog.contextvars import bind_contextvars

from orgs.exceptions import OrganizationNotFound, Unprocessable
from orgs.models import Membership, Organization, User

_CACHED = "_membership_in_named_organization"


def organization_for(request: Request | HttpRequest) -> Organization:
    """The organization of an API call: `organization` in query or JSON body, else the current one.

    Unknown, closed and foreign ones raise OrganizationNotFound alike.
    """
    return membership_for(request).organization


def membership_for(request: Request | HttpRequest) -> Membership:
    """The caller's membership in that organization; read once per request, never across two."""
    found: Membership | None = getattr(request, _CACHED, None)
    if found is None:
        found = membership_in(_person(request), _named(request))
        setattr(request, _CACHED, found)
        bind_contextvars(organization=str(found.organization_id))
    return found


def membership_in(user: User, name: str | None) -> Membership:
    """By slug or UUID; None means the person's current organization, else their personal one."""
    memberships = open_memberships(user)
    found = _default(user, memberships) if name is None else _by_name(memberships, name)
    if found is None:
        raise OrganizationNotFound(_("There is no such organization."))
    return found


def open_memberships(user: User) -> QuerySet[Membership]:
    """The switcher's list: personal first, then by name. Each says whether it is to be deleted."""
    return (
        Membership.objects.filter(user=user, organization__closed_at=None)
        .select_related("organization", "organization__deletion")
        .order_by("organization__kind", "organization__name", "organization__slug")
    )


def _default(user: User, memberships: QuerySet[Membership]) -> Membership | None:
    rank = Case(
        When(organization_id=user.current_organization_id, then=Value(0)),
        When(organization__kind=Organization.Kind.PERSONAL, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    return memberships.order_by(rank, "joined_at", "pk").first()


def _by_name(memberships: QuerySet[Membership], name: str) -> Membership | None:
    try:
        identity = uuid.UUID(name)
    except ValueError:
        return memberships.filter(organization__slug=name).first()
    return memberships.filter(organization_id=identity).first()


def _person(request: Request | HttpRequest) -> User:
    if isinstance(request.user, User):
        return request.user
    raise OrganizationNotFound(_("There is no such organization."))


def _named(request: Request | HttpRequest) -> str | None:
    in_query = request.GET.get("organization")
    in_body = _body(request).get("organization")
    if in_query is not None and in_body is not None and in_query != in_body:
        raise Unprocessable(
            _("The query and the body name different organizations."), field="organization"
        )
    name = in_query if in_body is None else in_body
    if name is None:
        return None
    if not isinstance(name, str) or "\x00" in name:
        raise Unprocessable(_("Name the organization by its slug or id."), field="organization")
    return name


def _body(request: Request | HttpRequest) -> Mapping[str, Any]:
    """Only DRF has parsed JSON; a plain Django view names its organization in the URL."""
    data = request.data if isinstance(request, Request) else None
    return data if isinstance(data, Mapping) else {}
