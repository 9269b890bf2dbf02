"""Usage of a deleted organization: the numbers stay, and nobody can tell whose they were.

Members and keys become names that a salt made, and that nobody can turn back once the salt is
forgotten; one member stays one, so that sums still add up. Dimensions go.
"""

import time
from datetime import date
from typing import Any, Final

from django.db import connection, transaction

from orgs import deletions
from orgs.deletions import Step
from orgs.models import Deletion
from quotas.models import (
    Alert,
    AlertSetting,
    Credit,
    EnforcementSwitch,
    Lead,
    LimitAdjustment,
    NoticeDelivery,
    NoticeEndpoint,
    NoticeState,
    Observation,
    ServiceToken,
    UsageControl,
)

_BATCH: Final = 5000
_SECONDS: Final = 300.0  # of one run
_GONE: Final = "'gone:' || left(encode(sha256(convert_to(%(salt)s || {0}, 'UTF8')), 'hex'), 32)"
_MEMBER: Final = (
    "CASE WHEN {0} = '' OR {0} ~ '^gone:[0-9a-f]{{32}}$' THEN {0} ELSE " + _GONE + " END"
)

# The next rows of the ledger after the last ones, by its primary key; those that are done already,
# which may lie ahead under their new names, are passed over.
_LEDGER: Final = """
WITH chosen AS (
    SELECT satellite_id, key, line, month FROM usage_event
    WHERE organization_id = %(organization)s AND key !~ '^gone:[0-9a-f]{{32}}$'
      AND (satellite_id, key, line, month)
        > (%(satellite)s::bigint, %(key)s::text, %(line)s::smallint, %(month)s::date)
    ORDER BY satellite_id, key, line, month LIMIT %(batch)s
), done AS (
    UPDATE usage_event e SET key = {key}, member = {member}, dimensions = NULL
    FROM chosen
    WHERE e.organization_id = %(organization)s AND e.satellite_id = chosen.satellite_id
      AND e.key = chosen.key AND e.line = chosen.line AND e.month = chosen.month
)
SELECT satellite_id, key, line, month FROM chosen
ORDER BY satellite_id DESC, key DESC, line DESC, month DESC LIMIT 1
"""
_BEGINNING: Final = (-1, "", 0, date.min)

# One statement each, that changes at most so many rows and touches one organization.
_STATEMENTS: Final = (
    """
UPDATE usage_reservation e SET key = {key}, member = {member}, balance_member = {balance_member}
WHERE e.organization_id = %(organization)s AND e.number IN (
    SELECT number FROM usage_reservation
    WHERE organization_id = %(organization)s AND key !~ '^gone:[0-9a-f]{{32}}$' LIMIT %(batch)s
)
""",
    """
UPDATE plan_usage e SET member = {member}
FROM (
    SELECT meter, member, period_start FROM plan_usage
    WHERE organization_id = %(organization)s AND member <> ''
      AND member !~ '^gone:[0-9a-f]{{32}}$' LIMIT %(batch)s
) chosen
WHERE e.organization_id = %(organization)s AND e.meter = chosen.meter
  AND e.member = chosen.member AND e.period_start = chosen.period_start
""",
    """
DELETE FROM usage_rollup e USING (
    SELECT grain, meter, bucket, period_start, member, satellite_id, dimension FROM usage_rollup
    WHERE organization_id = %(organization)s AND dimension <> '' LIMIT %(batch)s
) chosen
WHERE e.organization_id = %(organization)s AND e.grain = chosen.grain AND e.meter = chosen.meter
  AND e.bucket = chosen.bucket AND e.period_start = chosen.period_start
  AND e.member = chosen.member AND e.satellite_id = chosen.satellite_id
  AND e.dimension = chosen.dimension
""",
    """
UPDATE usage_rollup e SET member = {member}
FROM (
    SELECT grain, meter, bucket, period_start, member, satellite_id, dimension FROM usage_rollup
    WHERE organization_id = %(organization)s AND member <> ''
      AND member !~ '^gone:[0-9a-f]{{32}}$' LIMIT %(batch)s
) chosen
WHERE e.organization_id = %(organization)s AND e.grain = chosen.grain AND e.meter = chosen.meter
  AND e.bucket = chosen.bucket AND e.period_start = chosen.period_start
  AND e.member = chosen.member AND e.satellite_id = chosen.satellite_id
  AND e.dimension = chosen.dimension
""",
)


def anonymize(deletion: Deletion, seconds: float = _SECONDS) -> bool:
    """Batch by batch, each with its own commit. False when there is more than fits into a run."""
    ends = time.monotonic() + seconds
    last: tuple[Any, ...] | None = _BEGINNING
    while last is not None:
        if time.monotonic() > ends:
            return False
        last = _next_of_ledger(deletion, last)
    for statement in _STATEMENTS:
        while _apply(statement, deletion) == _BATCH:
            if time.monotonic() > ends:
                return False
    return True


def _next_of_ledger(deletion: Deletion, last: tuple[Any, ...]) -> tuple[Any, ...] | None:
    place = dict(zip(("satellite", "key", "line", "month"), last, strict=True))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_written(_LEDGER), _given(deletion) | place)
        found: tuple[Any, ...] | None = cursor.fetchone()
    return found


def _apply(statement: str, deletion: Deletion) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_written(statement), _given(deletion))
        return int(cursor.rowcount)


def _written(statement: str) -> str:
    return statement.format(
        key=_GONE.format("e.key"),
        member=_MEMBER.format("e.member"),
        balance_member=_MEMBER.format("e.balance_member"),
    )


def _given(deletion: Deletion) -> dict[str, Any]:
    return {"organization": deletion.pk, "salt": deletion.salt, "batch": _BATCH}


def forget_words(deletion: Deletion) -> bool:
    """What people decided and wrote about its usage, and who was told of it."""
    of: Any = {"organization": deletion.organization}
    decided: tuple[Any, ...] = (Alert, AlertSetting, UsageControl, Observation, Lead)
    for model in decided:
        model.objects.filter(**of).delete()
    explained: tuple[Any, ...] = (Credit, LimitAdjustment, EnforcementSwitch)
    for model in explained:
        model.objects.filter(**of).update(reason="")
    for scoped in (ServiceToken, NoticeEndpoint):
        for row in scoped.objects.filter(organizations__contains=[deletion.pk]):
            row.organizations = [pk for pk in row.organizations or [] if pk != deletion.pk]
            row.save(update_fields=["organizations"])
    return True


def end_notices(deletion: Deletion) -> bool:
    """Once services have heard of the deletion, or were given up after three days."""
    notices = NoticeDelivery.objects.filter(organization=deletion.organization)
    if notices.filter(state=NoticeDelivery.State.WAITING).exists():
        return False
    notices.delete()
    NoticeState.objects.filter(organization=deletion.organization).delete()
    return True


def register_steps() -> None:
    deletions.register_steps(
        Step(name="notices", run=end_notices),
        Step(name="usage", run=anonymize),
        Step(name="words", run=forget_words, after=("notices",)),
    )
