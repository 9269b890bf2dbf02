"""Who uses what: the largest members, satellites or dimension values of a period."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.db.models import F, Max, Q, QuerySet, Sum
from django.utils.translation import gettext as _

from orgs.models import Membership, Organization
from quotas.engine.periods import Period
from quotas.models import Rollup, Satellite
from quotas.reading.usage import meters

SHOWN = 20
Grouping = Literal["member", "satellite"]
_FIELDS = {"member": "member", "satellite": "satellite_id"}
_NET = Sum(F("added") - F("removed"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One line. `amounts` are per meter, `share` is the percentage of the leading meter."""

    name: str
    amounts: tuple[int, ...]
    share: int
    last_active: datetime | None  # the hour's or day's start


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """The largest first, the rest added up in one line; `meters` are the columns."""

    meters: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`leading` is the meter that orders the lines; `by` a grouping or a declared dimension."""

    period: Period
    leading: str
    by: str
    columns: tuple[str, ...]


def of(organization: Organization, question: Question) -> Breakdown:
    """Four queries, however many members there are."""
    rows = _rows(organization, question)
    field = _FIELDS.get(question.by, "dimension")
    largest = list(
        rows.filter(meter__in=question.columns)
        .values_list(field)
        .annotate(
            lead=Sum(F("added") - F("removed"), filter=Q(meter=question.leading), default=0),
            every=_NET,
        )
        .filter(Q(lead__gt=0) | Q(every__gt=0))
        .order_by("-lead", "-every", field)
        .values_list(field, flat=True)[:SHOWN]
    )
    amounts, active = _amounts(rows, field, largest)
    totals = dict(rows.values_list("meter").annotate(net=_NET))
    whole = max(totals.get(question.leading, 0), 1)
    names = _names(organization, question.by, largest)
    parts = [
        Part(
            name=names[each],
            amounts=tuple(amounts.get((each, meter), 0) for meter in question.columns),
            share=amounts.get((each, question.leading), 0) * 100 // whole,
            last_active=active.get(each),
        )
        for each in largest
    ]
    return Breakdown(meters=question.columns, parts=(*parts, *_others(question, parts, totals)))


def own(organization: Organization, member: str, period: Period) -> dict[str, int]:
    """What one member used of each meter."""
    everything = Question(period=period, leading="", by="member", columns=())
    rows = _rows(organization, everything).filter(member=member)
    return dict(rows.values_list("meter").annotate(net=_NET))


def names_of(organization: Organization, ids: list[str]) -> dict[str, str]:
    """Members are opaque ids in the ledger: a membership's or a person's, or a satellite's own."""
    known = [UUID(each) for each in ids if _is_uuid(each)]
    found: dict[str, str] = {}
    for membership in (
        Membership.objects.filter(Q(pk__in=known) | Q(user__in=known), organization=organization)
        .select_related("user")
        .order_by()
    ):
        for each in (membership.pk, membership.user_id):
            found[str(each)] = str(membership.user)
    return {each: found.get(each) or _unnamed(each) for each in ids}


def _unnamed(member: str) -> str:
    if not member:
        return _("Not by a member")
    return _("Former member") if _is_uuid(member) else member


def _rows(organization: Organization, question: Question) -> "QuerySet[Rollup]":
    """Flows of the periods that begin in this one; levels from their beginning."""
    kinds = {key: meter.kind for key, meter in meters().items()}
    levels = [key for key, kind in kinds.items() if kind == "level"]
    flows = [key for key, kind in kinds.items() if kind == "flow"]
    start, end = question.period
    of_dimension = question.by not in _FIELDS
    return Rollup.objects.filter(
        Q(meter__in=flows, period_start__gte=start, period_start__lt=end)
        | Q(meter__in=levels, bucket__lt=end),
        organization=organization,
        grain=Rollup.Grain.DAY,
        **({"dimension__startswith": f"{question.by}="} if of_dimension else {"dimension": ""}),
    )


def _amounts(
    rows: "QuerySet[Rollup]", field: str, largest: list[Any]
) -> tuple[dict[tuple[Any, str], int], dict[Any, datetime]]:
    found = (
        rows.filter(**{f"{field}__in": largest})
        .values_list(field, "meter")
        .annotate(net=_NET, newest=Max("bucket"))
    )
    amounts: dict[tuple[Any, str], int] = {}
    active: dict[Any, datetime] = {}
    for each, meter, net, newest in found:
        amounts[each, meter] = net
        active[each] = max(newest, active.get(each, newest))
    return amounts, active


def _names(organization: Organization, by: str, ids: list[Any]) -> dict[Any, str]:
    if by == "member":
        return names_of(organization, ids)
    if by == "satellite":
        satellites = Satellite.objects.in_bulk(ids)
        return {each: _satellite(satellites.get(each), each) for each in ids}
    return {each: each.partition("=")[2] for each in ids}


def _satellite(satellite: Satellite | None, number: int) -> str:
    if satellite is not None:
        return satellite.name
    return _("The product itself") if number == 0 else _("Removed service")


def _others(question: Question, parts: list[Part], totals: dict[str, int]) -> list[Part]:
    """What the lines above leave, in one; none where they leave nothing."""
    left = tuple(
        max(totals.get(meter, 0) - sum(part.amounts[at] for part in parts), 0)
        for at, meter in enumerate(question.columns)
    )
    if not any(left):
        return []
    leading = question.columns.index(question.leading)
    whole = max(totals.get(question.leading, 0), 1)
    return [
        Part(name=_("Others"), amounts=left, share=left[leading] * 100 // whole, last_active=None)
    ]


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
