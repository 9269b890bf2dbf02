"""Five weeks of usage for a sample organization, so that its Usage page has something to show."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from django.db import transaction

from billing.entitlement import clock
from orgs.models import Organization
from quotas.engine import asking, enforcement
from quotas.engine.decisions import Line, Request
from quotas.models import Kind, UsageLimit, Verb
from quotas.reading import usage

DAYS: Final = 34  # a record may be at most 35 days late
_A_MONTH: Final = 30
_WEEKEND: Final = 5  # Saturday and Sunday are quiet
# What passes for much where there is no limit.
_MANY: Final = {"bytes": 200 * 2**30, "duration": 500 * 3600}
_MANY_UNITS: Final = 100_000
_MANY_THINGS: Final = 40  # that one keeps, such as agents
_SHARES: Final = (0.5, 0.3, 0.2)  # of the members, the oldest first


def write(team: Organization) -> None:
    """Three quarters of a flow's limit a month, half of a level's in all. Once: keys repeat."""
    usage.of(team)  # derives the limits
    with transaction.atomic():
        enforcement.decide_all(list(_requests(team)))


def _requests(team: Organization) -> Iterator[Request]:
    now = clock.now_for(team)
    people = team.memberships.order_by("joined_at", "pk")[: len(_SHARES)]
    members = [str(user) for user in people.values_list("user_id", flat=True)]
    for limit in UsageLimit.objects.filter(organization=team, kind__in=[Kind.LEVEL, Kind.FLOW]):
        if limit.refusal or limit.meter not in usage.meters() or limit.amount == 0:
            continue
        so_far = [0.0] * len(members)
        for day in range(DAYS, 0, -1):
            at = now - timedelta(days=day)
            for number, member in enumerate(members):
                before = so_far[number]
                daily = _daily(limit, quiet=at.weekday() >= _WEEKEND)
                so_far[number] += daily * _SHARES[number]
                amount = int(so_far[number]) - int(before)  # a few containers come one by one
                if amount:
                    yield asking.use(
                        Verb.RECORD,
                        team.pk,
                        [Line(limit.meter, amount, member)],
                        f"demo-{limit.meter}-{day}-{number}",
                        occurred_at=at,
                    )


def _daily(limit: UsageLimit, *, quiet: bool) -> float:
    whole = limit.amount or _much(limit)
    a_day = whole * 0.75 / _A_MONTH if limit.kind == Kind.FLOW else whole * 0.5 / DAYS
    return a_day * (0.3 if quiet else 1.2)


def _much(limit: UsageLimit) -> int:
    display = usage.meters()[limit.meter].display
    return _MANY.get(display, _MANY_UNITS if limit.kind == Kind.FLOW else _MANY_THINGS)
