"""Staff look at the product as a person sees it: with a reason, for half an hour, read-only.

The session stays the staff member's own; `config.impersonation` shows it the person's pages and
refuses every unsafe request. Start and end stand in the audit trail of each of the person's
organizations, so that customers see who looked (E12).
"""

import uuid
from datetime import timedelta
from typing import Any, Final

import structlog
from django.contrib.admin import site
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from orgs import audit, current
from orgs.exceptions import NotAllowed
from orgs.models import Impersonation, Organization, User

SESSION_KEY: Final = "impersonation"
LASTS: Final = timedelta(minutes=30)
MAY: Final = "orgs.add_impersonation"


def start(request: HttpRequest, person: User, reason: str) -> Impersonation:
    """Raises NotAllowed for staff and for who is switched off."""
    staff = request.user
    if not isinstance(staff, User) or not _may(request, staff):
        raise NotAllowed(_("Only staff with the permission may look at pages as somebody else."))
    if person.is_staff or person.is_superuser or not person.is_active:
        raise NotAllowed(_("Nobody looks at pages as staff, or as an account that is off."))
    view = Impersonation.objects.create(
        staff=staff, person=person, reason=reason, ends_at=timezone.now() + LASTS
    )
    request.session.cycle_key()
    request.session[SESSION_KEY] = str(view.pk)
    _record("person.impersonation_started", view)
    return view


def end(request: HttpRequest, view: Impersonation) -> None:
    request.session.pop(SESSION_KEY, None)
    request.session.cycle_key()
    ended = Impersonation.objects.filter(pk=view.pk, ended_at=None).update(ended_at=timezone.now())
    if ended:
        _record("person.impersonation_ended", view)


def find(request: HttpRequest) -> Impersonation | None:
    """The one that this session has begun, whether or not it may go on."""
    try:
        key = uuid.UUID(request.session.get(SESSION_KEY, ""))
    except ValueError:
        return None
    return Impersonation.objects.select_related("person", "staff").filter(pk=key).first()


def goes_on(request: HttpRequest, view: Impersonation) -> bool:
    """Asked at every request: time, permission, second factor and the person may have changed."""
    return (
        view.ended_at is None
        and timezone.now() < view.ends_at
        and request.user == view.staff
        and _may(request, view.staff)
        and view.person.is_active
        and not view.person.is_staff
    )


def of(request: HttpRequest) -> Impersonation | None:
    """For pages: None where people are themselves."""
    found: Any = getattr(request, "impersonation", None)
    return found if isinstance(found, Impersonation) else None


def _may(request: HttpRequest, staff: User) -> bool:
    return site.has_permission(request) and staff.has_perm(MAY)


def _record(action: str, view: Impersonation) -> None:
    """Once for each organization whose pages could be seen; once where there is none."""
    seen: list[Organization | None] = [
        each.organization for each in current.open_memberships(view.person)
    ]
    with structlog.contextvars.bound_contextvars(acting_as=view.staff.email):
        for organization in seen or [None]:
            audit.record(
                action,
                organization=organization,
                actor=view.staff,
                target=view.person.email,
                after={"reason": view.reason},
            )
