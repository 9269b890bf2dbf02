"""Usage of a deleted organization: the numbers stay, and nobody can tell whose they were.

Members and keys become names that a salt made, and that nobody can turn back once the salt is
forgotten; one member stays one, so that sums still add up. Dimensions go.
"""

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
_GONE: Final = "'gone:' || left(encode(sha256(convert_to(%(salt)s || {0}, 'UTF8')), 'hex'), 32)"
_MEMBER: Final = (
    "CASE WHEN {0} = '' OR {0} ~ '^gone:[0-9a-f]{{32}}$' THEN {0} ELSE " + _GONE + " END"
)

# One statement each, that changes at most so many rows and touches one organization.
_STATEMENTS: Final = (
    """
UPDATE usage_event e SET key = {key}, member = {member}, dimensions = NULL
FROM (
    SELECT satellite_id, key, line, month FROM usage_event
    WHERE organization_id = %(organization)s AND key !~ '^gone:[0-9a-f]{{32}}$' LIMIT %(batch)s
) chosen
WHERE e.organization_id = %(organization)s AND e.satellite_id = chosen.satellite_id
  AND e.key = chosen.key AND e.line = chosen.line AND e.month = chosen.month
""",
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


def anonymize(deletion: Deletion) -> bool:
    """Batch by batch, each with its own commit; what is done already is not done again."""
    for statement in _STATEMENTS:
        while _apply(statement, deletion) == _BATCH:
            pass
    return True


def _apply(statement: str, deletion: Deletion) -> int:
    written = statement.format(
        key=_GONE.format("e.key"),
        member=_MEMBER.format("e.member"),
        balance_member=_MEMBER.format("e.balance_member"),
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            written,
            {"organization": deletion.pk, "salt": deletion.salt, "batch": _BATCH},
        )
        return int(cursor.rowcount)


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
