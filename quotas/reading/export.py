"""Usage as a CSV file: one row per day, meter, member and service."""

from collections.abc import Iterator

from orgs.audit_log import formula_safe
from orgs.models import Organization
from quotas.engine.periods import Period
from quotas.models import Rollup, Satellite

COLUMNS = (
    "day", "meter", "period_start", "member", "service", "added", "removed", "events", "refused",
)  # fmt: skip


def rows(
    organization: Organization, period: Period, members: list[str] | None = None
) -> Iterator[list[str]]:
    """Header first; days are UTC. Texts cannot be taken for formulas (E13), numbers stay numbers.

    `members` None means everybody.
    """
    yield list(COLUMNS)
    services = {0: ""} | dict(Satellite.objects.values_list("pk", "key"))
    found = Rollup.objects.filter(
        organization=organization,
        grain=Rollup.Grain.DAY,
        dimension="",
        bucket__gte=period.start.replace(hour=0, minute=0, second=0, microsecond=0),
        bucket__lt=period.end,
    )
    if members is not None:
        found = found.filter(member__in=members)
    for row in found.order_by("bucket", "meter", "member", "satellite_id").iterator(
        chunk_size=1000
    ):
        service = services.get(row.satellite_id, str(row.satellite_id))
        yield [
            row.bucket.date().isoformat(),
            formula_safe(row.meter),
            row.period_start.isoformat(),
            formula_safe(row.member),
            formula_safe(service),
            *(str(number) for number in (row.added, row.removed, row.events, row.refused)),
        ]
