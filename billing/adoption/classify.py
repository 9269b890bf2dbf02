"""Says of every organization what it is before limits are enforced (document 002, step 5).

Each row is one transaction and can be repeated: what is decided already is left alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from django.db import transaction

from billing import catalog
from billing.adoption import tables
from billing.adoption.tables import Row
from billing.entitlement import contracts, grants, store
from billing.entitlement.clock import now_for
from billing.models import Classification, EffectivePlan, Grant, Source
from orgs import audit
from orgs.exceptions import DomainError, Unprocessable
from orgs.models import Organization, User

Kind = Classification.Kind

COLUMNS: Final = (
    "organization", "name", "members", "present_plan", "present_source", "class", "plan", "seats",
    "until", "reason", "result", "problem",
)  # fmt: skip
NEEDS: Final = ("organization", "class")
_SOURCES: Final = {Kind.PILOT: Source.PILOT, Kind.CONTRACT: Source.CONTRACT}
_BY_SOURCE: Final = {
    Source.STRIPE: Kind.STRIPE,
    Source.CONTRACT: Kind.CONTRACT,
    Source.PILOT: Kind.PILOT,
    Source.MANUAL: Kind.PILOT,
    Source.SITE_OWNER: Kind.PILOT,
}


@dataclass(kw_only=True)
class Decision:
    """One row of the file. `problem` keeps it from being applied; `result` says what came of it."""

    row: Row
    organization: Organization | None
    kind: str = ""
    plan: str = ""
    seats: int | None = None
    until: date | None = None
    reason: str = ""
    problem: str = ""
    result: str = ""
    present: EffectivePlan | None = field(default=None, repr=False)

    def as_row(self) -> dict[str, object]:
        return {**self.row, "class": self.kind, "result": self.result, "problem": self.problem}


# --- Out: who is not classified yet -----------------------------------------------------------


def proposals() -> Iterator[dict[str, object]]:
    """Every open organization without a classification; `class` is empty where people must say."""
    left = Organization.objects.open().filter(classification=None).order_by("created_at", "pk")
    for organization in left.iterator(chunk_size=500):
        effective = store.current(organization)
        yield {
            "organization": organization.slug,
            "name": organization.name,
            "members": organization.memberships.count(),
            "present_plan": effective.plan.key,
            "present_source": effective.source,
            "class": _proposed(organization, effective),
            "plan": effective.plan.key if effective.source in _BY_SOURCE else "",
            "seats": effective.seats if effective.source in _BY_SOURCE else "",
            **_of_grant(organization, effective),
        }


def _of_grant(organization: Organization, effective: EffectivePlan) -> dict[str, object]:
    """What a grant says itself, so that the row names that very grant when it comes back."""
    given = organization.grants.in_force(now_for(organization)).filter(
        source=effective.source, plan_key=effective.plan.key
    )
    grant: Grant | None = given.order_by("-starts_at", "-pk").first()
    if grant is None or effective.source not in _SOURCES.values():
        return {}
    return {
        "seats": grant.seats or "",
        "until": _last_day(grant.ends_at) or "",
        "reason": grant.reason,
    }


def _proposed(organization: Organization, effective: EffectivePlan) -> str:
    """A team on the default plan may be a pilot that nobody wrote down."""
    known = _BY_SOURCE.get(Source(effective.source))
    if known is not None:
        return known.value
    personal = organization.kind == Organization.Kind.PERSONAL
    return Kind.DEFAULT.value if personal else ""


# --- In: what people decided ------------------------------------------------------------------


def read(rows: Iterable[Row]) -> list[Decision]:
    """Every row judged, nothing changed."""
    listed = list(rows)
    known = tables.organizations_named(row.get("organization", "") for row in listed)
    decisions = [_decision(row, known.get(row.get("organization", ""))) for row in listed]
    seen: set[object] = set()
    for decision in decisions:
        if decision.organization is None or decision.problem:
            continue
        if decision.organization.pk in seen:
            decision.problem = "the file names this organization twice"
        seen.add(decision.organization.pk)
    return decisions


def _decision(row: Row, organization: Organization | None) -> Decision:
    decision = Decision(row=row, organization=organization, reason=row.get("reason", ""))
    if organization is None:
        decision.problem = "no open organization has this slug or id"
        return decision
    try:
        decision.kind = _kind(row.get("class", ""))
        decision.plan = row.get("plan", "")
        decision.seats = _number(row.get("seats", ""))
        decision.until = _day(row.get("until", ""))
        decision.present = store.current(organization)
        _check(decision, organization)
    except DomainError as error:
        decision.problem = str(error)
    return decision


def _kind(text: str) -> str:
    """The class by its own word, or by the default plan's key or name."""
    default = catalog.current().plans[catalog.current().default_plan]
    words = {catalog.current().default_plan, *default.name.root.values()}
    if text.casefold() in {word.casefold() for word in words}:
        return Kind.DEFAULT
    if text.casefold() not in Kind.values:
        raise Unprocessable(f"class must be one of {', '.join(Kind.values)}", field="class")
    return text.casefold()


def _check(decision: Decision, organization: Organization) -> None:
    assert decision.present is not None  # noqa: S101  set just before
    pays = decision.present.source == Source.STRIPE
    if decision.kind == Kind.STRIPE and not pays:
        raise Unprocessable("it has no subscription that grants a plan", field="class")
    if decision.kind == Kind.DEFAULT and pays:
        raise Unprocessable("it pays by Stripe; cancel there first", field="class")
    if decision.kind not in _SOURCES:
        return
    if not decision.plan:
        raise Unprocessable("plan is empty", field="plan")
    if decision.plan == catalog.current().default_plan:
        raise Unprocessable("that is the default plan; say so as the class", field="plan")
    if decision.until is not None and _end_of(decision.until) <= now_for(organization):
        raise Unprocessable("until is past", field="until")
    contracts.check(_grant(decision, organization))


def apply(decision: Decision, *, actor: User | audit.Actor) -> None:
    """Once per organization: a repeated row changes nothing. `result` says which it was."""
    organization = decision.organization
    if organization is None or decision.problem:
        decision.result = "left alone"
        return
    try:
        with transaction.atomic():
            store.lock_account(organization)
            decision.result = _classify(decision, organization, actor)
    except DomainError as error:
        decision.problem, decision.result = str(error), "left alone"


def _classify(decision: Decision, organization: Organization, actor: User | audit.Actor) -> str:
    before = (
        Classification.objects.select_related("grant").filter(organization=organization).first()
    )
    if before is not None and _says_the_same(before, decision):
        return "already"
    if before is not None and before.grant is not None:
        grants.revoke(before.grant, actor=actor)
    grant = None
    if decision.kind in _SOURCES:
        grant = _standing(decision, organization)
        if grant is None:
            grant = _grant(decision, organization)
            grants.give(grant, actor=actor)
    Classification.objects.update_or_create(
        organization=organization,
        defaults={
            "kind": decision.kind,
            "reason": decision.reason,
            "grant": grant,
            "author": actor if isinstance(actor, User) else None,
        },
    )
    audit.record(
        "billing.classified",
        organization=organization,
        actor=actor,
        target=decision.kind,
        before={"class": before.kind} if before else None,
        after={"class": decision.kind, "plan": decision.plan, "reason": decision.reason},
    )
    return "changed" if before else "classified"


def _says_the_same(before: Classification, decision: Decision) -> bool:
    if before.kind != decision.kind:
        return False
    grant = before.grant
    if decision.kind not in _SOURCES or grant is None:
        return decision.kind not in _SOURCES
    terms = (grant.plan_key, grant.seats, _last_day(grant.ends_at))
    return grant.revoked_at is None and terms == (decision.plan, decision.seats, decision.until)


def _standing(decision: Decision, organization: Organization) -> Grant | None:
    """A grant that was given before by hand, and that the row merely names."""
    given = organization.grants.in_force(now_for(organization)).filter(
        source=_SOURCES[Kind(decision.kind)], plan_key=decision.plan, seats=decision.seats
    )
    return next((grant for grant in given if _last_day(grant.ends_at) == decision.until), None)


def _grant(decision: Decision, organization: Organization) -> Grant:
    return Grant(
        organization=organization,
        source=_SOURCES[Kind(decision.kind)],
        plan_key=decision.plan,
        seats=decision.seats,
        reason=decision.reason,
        starts_at=now_for(organization),
        ends_at=None if decision.until is None else _end_of(decision.until),
    )


def _end_of(day: date) -> datetime:
    """That day included."""
    return datetime.combine(day + timedelta(days=1), time.min, tzinfo=UTC)


def _last_day(ends_at: datetime | None) -> date | None:
    return None if ends_at is None else (ends_at.astimezone(UTC) - timedelta.resolution).date()


def _number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000):  # noqa: PLR2004
        raise Unprocessable("seats must be a number from 1", field="seats")
    return int(text)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Unprocessable("until must be a day such as 2027-03-31", field="until") from None
