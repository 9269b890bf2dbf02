"""What a lock or the loss of a plan hangs on: the same answer whatever order its parts came in."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from billing.models import Grant, Source
from billing.models.effective_plan import Verdict
from orgs.models import Organization

ENDED: Final = ":ended"
_NEVER_BEGUN: Final = ("incomplete", "incomplete_expired")


@dataclass(frozen=True)
class _Span:
    """Something that gave a plan, from when to when; no end while it stands."""

    name: str
    start: datetime
    end: datetime | None


def of_lock(verdict: Verdict) -> str:
    """The unpaid invoice, else the one whose payment was taken back."""
    return verdict.owed_invoice or verdict.disputed_invoice


def of_the_loss(organization: Organization) -> str:
    """What began the last unbroken time with a plan: one such time is lost once.

    Whether the plan went with an unpaid invoice, a cancellation at Stripe or the end of a second
    subscription beside it depends on which of them we heard of first; this does not.
    """
    first: _Span | None = None
    until: datetime | None = None
    for span in sorted(_spans(organization), key=lambda one: (one.start, one.name)):
        if first is None or (until is not None and span.start >= until):
            first, until = span, span.end
        elif until is not None:
            until = None if span.end is None else max(until, span.end)
    return first.name + ENDED if first else ""


def of_trial(organization: Organization) -> str:
    grant = Grant.objects.filter(organization=organization, source=Source.TRIAL).last()
    return _name_of(grant) if grant else ""


def _spans(organization: Organization) -> Iterator[_Span]:
    for one in organization.subscriptions.exclude(status__in=_NEVER_BEGUN):
        yield _Span(one.stripe_id, one.created_at, one.ended_at)
    for grant in organization.grants.filter(source=Source.TRIAL):
        ends = [at for at in (grant.ends_at, grant.revoked_at) if at is not None]
        yield _Span(_name_of(grant), grant.starts_at, min(ends, default=None))


def _name_of(grant: Grant) -> str:
    return f"trial:{grant.pk}"
