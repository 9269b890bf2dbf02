"""Sixteen processes, each with a writer of its own, that want more than there is at once.

python -m tests.chaos.racers ROUNDS; prints how much each round admitted, as JSON. A program of
its own, so that it forks before any thread exists.
"""

import json
import multiprocessing
import sys
from typing import Any

import django

PROCESSES = 16
ATTEMPTS = 5
LIMIT = 40


def main() -> None:
    django.setup()
    from django.db import connections  # noqa: PLC0415  needs the settings

    from tests.chaos import names  # noqa: PLC0415
    from tests.factories.quotas import limited  # noqa: PLC0415

    names.start_anew()
    rounds = int(sys.argv[1])
    organizations = [limited(ai_queries=LIMIT).pk for _ in range(rounds)]
    connections.close_all()
    fork = multiprocessing.get_context("fork")
    barrier, admitted = fork.Barrier(PROCESSES), fork.Queue()
    racers = [
        fork.Process(target=_race, args=(number, organizations, barrier, admitted))
        for number in range(PROCESSES)
    ]
    for racer in racers:
        racer.start()
    each = [admitted.get(timeout=30 + rounds * 10) for _ in racers]
    for racer in racers:
        racer.join()
    found = {
        "admitted": [sum(counts) for counts in zip(*each, strict=True)],
        "ledger": [_ledger(organization) for organization in organizations],
    }
    sys.stdout.write(json.dumps(found) + "\n")


def _race(number: int, organizations: list[Any], barrier: Any, admitted: Any) -> None:
    from quotas.engine import lane, refresh  # noqa: PLC0415  needs the settings

    counts = []
    for organization in organizations:
        barrier.wait()
        counts.append(sum(_consume(organization, f"{number}-{n}") for n in range(ATTEMPTS)))
    admitted.put(counts)
    lane.stop_all()
    refresh.stop()


def _consume(organization: Any, key: str) -> bool:
    """Until there is an answer: the same key may be sent again."""
    from quotas.engine import enforcement  # noqa: PLC0415  needs the settings
    from quotas.exceptions import Busy, OutcomeUnknown  # noqa: PLC0415

    while True:
        try:
            return enforcement.consume(organization, "ai_queries", idempotency_key=key).allowed
        except (Busy, OutcomeUnknown):
            continue


def _ledger(organization: Any) -> int:
    from quotas.models import UsageEvent  # noqa: PLC0415  needs the settings

    return UsageEvent.objects.filter(organization_id=organization).quantity()


if __name__ == "__main__":
    main()
