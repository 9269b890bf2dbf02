"""After the kills: what was answered is in the ledger, and every sum of it is the same."""

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from quotas.reading import rollups
from tests.chaos.clients import METER, Answered, Asked, Callers

REPLAYED = 200

_LEDGER = """
SELECT organization_id, key, count(*), bool_and(accepted), sum(delta), max(sequence)
FROM usage_event WHERE organization_id = ANY (%s::uuid[]) AND meter = %s GROUP BY 1, 2
"""
_SUMS = """
SELECT l.organization_id, l.amount,
       (SELECT coalesce(sum(e.delta), 0) FROM usage_event e
        WHERE e.organization_id = l.organization_id AND e.meter = l.meter),
       (SELECT coalesce(sum(b.used), 0) FROM plan_usage b
        WHERE b.organization_id = l.organization_id AND b.meter = l.meter),
       (SELECT coalesce(sum(r.added - r.removed), 0) FROM usage_rollup r
        WHERE r.organization_id = l.organization_id AND r.meter = l.meter AND r.grain = 'hour'
          AND r.dimension = ''),
       (SELECT coalesce(sum(r.added - r.removed), 0) FROM usage_rollup r
        WHERE r.organization_id = l.organization_id AND r.meter = l.meter AND r.grain = 'day'
          AND r.dimension = '')
FROM usage_limit l WHERE l.organization_id = ANY (%s::uuid[]) AND l.meter = %s
"""

Ledger = dict[tuple[UUID, str], tuple[int, bool, int, int]]


def audit(callers: Callers, organizations: Sequence[UUID]) -> dict[str, Any]:
    assert callers.surprises == []
    rollups.catch_up(wait=True)
    ledger = _ledger(organizations)
    _every_answer_is_recorded(callers.answers, ledger)
    total = _every_sum_is_the_same(callers, organizations)
    _the_same_key_has_the_same_answer(callers)
    accepted = [asked for asked, answer in callers.answers.items() if answer.allowed]
    return {
        "answers": len(callers.answers),
        "accepted": len(accepted),
        "refused": len(callers.answers) - len(accepted),
        "never answered": len(callers.unknown),
        "units accepted": sum(asked.amount for asked in accepted),
        "units in the ledger": total,
    }


def _ledger(organizations: Sequence[UUID]) -> Ledger:
    with connection.cursor() as cursor:
        cursor.execute(_LEDGER, [list(organizations), METER])
        return {
            (organization, key): (rows, accepted, int(delta), sequence)
            for organization, key, rows, accepted, delta, sequence in cursor.fetchall()
        }


def _every_answer_is_recorded(answers: dict[Asked, Answered], ledger: Ledger) -> None:
    for asked, answer in answers.items():
        delta = asked.amount if answer.allowed else 0
        sequence = int(answer.event_id.rpartition("-")[2])
        recorded = ledger.get((asked.organization, asked.key))
        assert recorded == (1, answer.allowed, delta, sequence), (asked, answer, recorded)


def _every_sum_is_the_same(callers: Callers, organizations: Sequence[UUID]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, [list(organizations), METER])
        rows = cursor.fetchall()
    for organization, limit, ledger, *sums in rows:
        known = sum(
            asked.amount
            for asked, answer in callers.answers.items()
            if answer.allowed and asked.organization == organization
        )
        maybe = sum(one.amount for one in callers.unknown if one.organization == organization)
        assert sums == [ledger] * 3, (organization, ledger, sums)
        assert ledger <= limit, (organization, ledger, limit)
        assert known <= ledger <= known + maybe, (organization, known, ledger, maybe)
    return int(sum(row[2] for row in rows))


def _the_same_key_has_the_same_answer(callers: Callers) -> None:
    known = list(callers.answers)
    for asked in random.sample(known, min(REPLAYED, len(known))):
        assert callers.ask_again(asked) == callers.answers[asked]
