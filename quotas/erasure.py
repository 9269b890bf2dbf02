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

# The ledger goes by its primary key, a range at a time: rows that are done already, which may lie
# ahead under their new names, are passed over. No join, which a planner without statistics would
# make of every row with every other.
_ROW: Final = "(satellite_id, key, line, month)"
_AFTER: Final = (
    _ROW + " > (%(satellite)s::bigint, %(key)s::text, %(line)s::smallint, %(month)s::date)"
)
_OPEN: Final = "organization_id = %(organization)s AND key !~ '^gone:[0-9a-f]{{32}}$'"
_UP_TO: Final = f"""
SELECT satellite_id, key, line, month FROM (
    SELECT satellite_id, key, line, month FROM usage_event WHERE {_OPEN} AND {_AFTER}
    ORDER BY satellite_id, key, line, month LIMIT %(batch)s
) chosen ORDER BY satellite_id DESC, key DESC, line DESC, month DESC LIMIT 1
"""  # noqa: S608  pieces of ours
_RANGE: Final = f"""
UPDATE usage_event SET key = {{key}}, member = {{member}}, dimensions = NULL
WHERE {_OPEN} AND {_AFTER}
  AND {_ROW} <= (%(to_satellite)s::bigint, %(to_key)s::text, %(to_line)s::smallint,
                 %(to_month)s::date)
"""  # noqa: S608  pieces of ours
_BEGINNING: Final = (-1, "", 0, date.min)

# One statement each, that changes at most so many rows of one organization, until none is left.
_MEMBERS_LEFT: Final = (
    "organization_id = %(organization)s AND member <> '' AND member !~ '^gone:[0-9a-f]{{32}}$'"
)
_STATEMENTS: Final = (
    f"""
UPDATE usage_reservation
SET key = {{key}}, member = {{member}}, balance_member = {{balance_member}}
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM usage_reservation WHERE {_OPEN} LIMIT %(batch)s))
""",  # noqa: S608  pieces of ours
    f"""
UPDATE plan_usage SET member = {{member}}
WHERE ctid = ANY (ARRAY(SELECT ctid FROM plan_usage WHERE {_MEMBERS_LEFT} LIMIT %(batch)s))
""",  # noqa: S608  pieces of ours
    """
DELETE FROM usage_rollup WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM usage_rollup
    WHERE organization_id = %(organization)s AND dimension <> '' LIMIT %(batch)s))
""",
    f"""
UPDATE usage_rollup SET member = {{member}}
WHERE ctid = ANY (ARRAY(SELECT ctid FROM usage_rollup WHERE {_MEMBERS_LEFT} LIMIT %(batch)s))
""",  # noqa: S608  pieces of ours
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
        while _apply(statement, deletion):
            if time.monotonic() > ends:
                return False
    return True


def _next_of_ledger(deletion: Deletion, last: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The last row of the next range, once it is done; None where nothing is left."""
    given = _given(deletion) | _named("", last)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_written(_UP_TO), given)
        found: tuple[Any, ...] | None = cursor.fetchone()
        if found is not None:
            cursor.execute(_written(_RANGE), given | _named("to_", found))
    return found


def _named(prefix: str, row: tuple[Any, ...]) -> dict[str, Any]:
    names = ("satellite", "key", "line", "month")
    return {f"{prefix}{name}": value for name, value in zip(names, row, strict=True)}


def _apply(statement: str, deletion: Deletion) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_written(statement), _given(deletion))
        return int(cursor.rowcount)


def _written(statement: str) -> str:
    return statement.format(
        key=_GONE.format("key"),
        member=_MEMBER.format("member"),
        balance_member=_MEMBER.format("balance_member"),
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
