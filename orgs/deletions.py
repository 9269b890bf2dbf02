"""An organization's end, asked for by an owner: days to think it over, then step by step.

Floors above register what forbids it for now, and the steps of their own. A step says whether it is
finished; what it cannot do yet (Stripe is away, an invoice is open) it does when it is asked again.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from orgs import audit, messages, organizations, signals
from orgs.exceptions import DeletionBlocked, OrganizationNotFound, PersonalOrganization
from orgs.models import Deletion, Organization, User

logger = structlog.get_logger(__name__)

_LEASE: Final = timedelta(minutes=15)  # longer than any task may run
_WAIT: Final = timedelta(minutes=5)
_LONGEST_WAIT: Final = timedelta(hours=6)
_STUCK: Final = 12  # tries that failed


@dataclass(frozen=True, kw_only=True)
class Blocker:
    """What must be settled first, and the one thing to do about it."""

    sentence: str
    action: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """`run` returns True once there is nothing left to do; `after` names steps to be done first."""

    name: str
    run: Callable[[Deletion], bool]
    after: tuple[str, ...] = ()


Asks = Callable[[Organization], list[Blocker]]
_asks: list[Asks] = []
_steps: dict[str, Step] = {}


def register_blockers(ask: Asks) -> None:
    _asks.append(ask)


def register_steps(*steps: Step) -> None:
    _steps.update({step.name: step for step in steps})


def blockers(organization: Organization) -> list[Blocker]:
    return [blocker for ask in _asks for blocker in ask(organization)]


def pending(organization: Organization) -> Deletion | None:
    return Deletion.objects.filter(organization=organization, finished_at=None).first()


@transaction.atomic
def ask(organization: Organization, *, actor: User) -> Deletion:
    """Raises DeletionBlocked. Asked for twice, the first time counts."""
    current = organizations.lock(organization)
    if current.kind == Organization.Kind.PERSONAL:
        raise PersonalOrganization(_("A personal organization is closed with its account."))
    asked = pending(current)
    if asked is not None:
        return asked
    found = blockers(current)
    if found:
        raise DeletionBlocked(
            " ".join(blocker.sentence for blocker in found),
            blockers=[vars(blocker) for blocker in found],
        )
    due_at = timezone.now() + timedelta(days=settings.DELETION_GRACE_DAYS)
    deletion = _put(current, actor, due_at)
    audit.record(
        "organization.deletion_asked",
        organization=current,
        actor=actor,
        after={"due_at": due_at.isoformat()},
    )
    messages.deletion_asked(deletion)
    signals.deletion_asked.send(Deletion, organization=current, deletion=deletion)
    return deletion


@transaction.atomic
def undo(organization: Organization, *, actor: User) -> bool:
    """False where there is nothing to undo any more."""
    current = organizations.lock(organization)
    gone, _by_model = Deletion.objects.filter(organization=current, finished_at=None).delete()
    if gone:
        audit.record("organization.deletion_undone", organization=current, actor=actor)
    return bool(gone)


def follow_closing(organization: Organization, actor: User | None, *, at_once: bool) -> None:
    """Whatever closes an organization, its data goes too: at once with an account, else later."""
    if pending(organization) is not None:
        return
    delay = timedelta(0) if at_once else timedelta(days=settings.DELETION_GRACE_DAYS)
    _put(organization, actor, timezone.now() + delay)


def _put(organization: Organization, actor: User | None, due_at: datetime) -> Deletion:
    deletion, _created = Deletion.objects.get_or_create(
        organization=organization,
        defaults={
            "asked_by": actor,
            "due_at": due_at,
            "next_attempt_at": due_at,
            "salt": secrets.token_hex(32),
        },
    )
    return deletion


# --- Carrying out --------------------------------------------------------------------------------


def carry_out_due(limit: int = 20) -> int:
    """Returns how many are finished. Each is taken by one worker at a time."""
    now = timezone.now()
    due = Deletion.objects.due(now).order_by("next_attempt_at").values_list("pk", flat=True)
    return sum(carry_out(organization_id) for organization_id in list(due[:limit]))


def carry_out(organization_id: UUID) -> bool:
    """As far as it goes now. What was done before is not done again."""
    deletion = _take(organization_id)
    if deletion is None:
        return False
    try:
        if not _is_closed(deletion):
            _wait(deletion, _LONGEST_WAIT, "")  # by a new invoice, or contract
            return False
        for step in _steps.values():
            _run(deletion, step)
    except Exception as error:
        logger.exception("deletion.failed", organization=str(organization_id))
        _wait(deletion, _delay(deletion), type(error).__name__)
        return False
    if len(deletion.done) < len(_steps):
        _wait(deletion, _delay(deletion), deletion.last_error)
        return False
    return _finish(deletion)


def _take(organization_id: UUID) -> Deletion | None:
    now = timezone.now()
    mine = Deletion.objects.due(now).filter(pk=organization_id)
    if not mine.update(next_attempt_at=now + _LEASE):
        return None
    deletion: Deletion = Deletion.objects.select_related("organization", "asked_by").get(
        pk=organization_id
    )
    deletion.last_error = ""
    return deletion


def _is_closed(deletion: Deletion) -> bool:
    """What has come up since it was asked for holds it up; owners see it on the page."""
    organization = deletion.organization
    if organization.closed_at is not None:
        return True
    if blockers(organization):
        return False
    try:
        deletion.organization = organizations.close(
            organization, actor=deletion.asked_by, with_account=True
        )
    except OrganizationNotFound:  # closed meanwhile by somebody else
        organization.refresh_from_db()
    return True


def _run(deletion: Deletion, step: Step) -> None:
    """One that fails holds up those alone that come after it."""
    if step.name in deletion.done or not set(step.after) <= set(deletion.done):
        return
    try:
        finished = step.run(deletion)
    except Exception as error:
        logger.exception("deletion.step_failed", organization=str(deletion.pk), step=step.name)
        deletion.last_error = f"{step.name}: {type(error).__name__}"[:300]
        return
    if finished:
        deletion.done = [*deletion.done, step.name]
        deletion.save(update_fields=["done"])


def _wait(deletion: Deletion, delay: timedelta, error: str) -> None:
    if error and deletion.attempts + 1 == _STUCK:
        logger.error("alert.deletion_stuck", organization=str(deletion.pk), why=error)
    Deletion.objects.filter(pk=deletion.pk).update(
        attempts=deletion.attempts + bool(error),
        next_attempt_at=timezone.now() + delay,
        last_error=error[:300],
    )


def _delay(deletion: Deletion) -> timedelta:
    """The longer it takes, the seldomer it is asked: an invoice may stay open for months."""
    share: timedelta = (timezone.now() - deletion.due_at) / 10
    return min(max(_WAIT, share), _LONGEST_WAIT)


@transaction.atomic
def _finish(deletion: Deletion) -> bool:
    deletion.finished_at, deletion.salt, deletion.last_error = timezone.now(), "", ""
    deletion.save(update_fields=["finished_at", "salt", "last_error"])
    audit.record(
        "organization.erased", organization=deletion.organization, after={"steps": deletion.done}
    )
    logger.info("deletion.finished", organization=str(deletion.pk))
    return True
