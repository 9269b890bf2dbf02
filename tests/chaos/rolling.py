"""Two web servers, restarted in turn as a release does it, under load: no decision fails.

A server that is told to end answers what it has begun and takes nothing new; whoever is turned
away sends the same key to the other one.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db import connections

from quotas.reading import rollups
from tests import installation
from tests.chaos import names
from tests.chaos.audit import audit
from tests.chaos.clients import Callers
from tests.chaos.kills import CALLERS, LOAD_SECONDS, THREADS, scarce_and_plenty, token

Say = Callable[[str], None]


def run(restarts: int, say: Say) -> dict[str, Any]:
    """Raises AssertionError for a decision that failed, and for anything lost or counted twice."""
    names.start_anew()
    organizations = scarce_and_plenty()
    servers = [_server(number) for number in range(2)]
    callers = Callers(
        [server.port for server in servers], token(), organizations, number=CALLERS, hasty=0
    )
    longest = 0.0
    try:
        for server in servers:
            server.start()
            server.wait()
        callers.start()
        for number in range(restarts):
            time.sleep(LOAD_SECONDS)
            took = _restart(servers[number % 2])
            longest = max(longest, took)
            say(f"{number + 1}. ended in {took:.1f} s, {len(callers.answers):,} answers")
        time.sleep(LOAD_SECONDS)
        callers.stop()
        connections.close_all()
        rollups.catch_up(wait=True)
        found = audit(callers, organizations)
    finally:
        callers.stop()
        for server in servers:
            server.stop()
    assert callers.unknown == [], f"{len(callers.unknown)} decisions failed"
    return {
        "restarts": restarts,
        "failed decisions": len(callers.unknown),
        "longest_drain_seconds": round(longest, 2),
        "slowest_decision_seconds": round(callers.slowest, 2),
        "sent again": dict(Counter(callers.repeats)),
        **found,
    }


def _server(number: int) -> installation.Web:
    log = installation.var() / "chaos" / f"web-{number}.log"
    return installation.Web("config.rsgi:application", threads=THREADS, log=log)


def _restart(server: installation.Web) -> float:
    """TERM, as every supervisor sends it; how long the server took to end."""
    began = time.monotonic()
    server.stop()
    took = time.monotonic() - began
    server.start()
    server.wait()
    return took
