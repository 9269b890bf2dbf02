"""What the engine tells Prometheus. Labels are verbs and outcomes, never an organization."""

from collections import Counter as Tally
from collections.abc import Sequence

from prometheus_client import Counter, Histogram

from quotas.engine.decisions import Request
from quotas.engine.ledger import Rows

_DECISIONS = Counter(
    "ledgerline_decisions", "Requests the ledger has answered.", ["verb", "outcome"]
)
_BATCH_SECONDS = Histogram(
    "ledgerline_batch_seconds",
    "From the first statement of a batch to its commit.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
_BATCH_REQUESTS = Histogram(
    "ledgerline_batch_requests",
    "Requests that shared one commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)


def batch(requests: Sequence[Request], answers: Sequence[Rows], seconds: float) -> None:
    """Once per commit, not per request: a labelled counter costs as much as a small decision."""
    _BATCH_SECONDS.observe(seconds)
    _BATCH_REQUESTS.observe(len(requests))
    found = Tally(
        (request.verb, _outcome(rows)) for request, rows in zip(requests, answers, strict=True)
    )
    for (verb, outcome), times in found.items():
        _DECISIONS.labels(str(verb), outcome).inc(times)


def _outcome(rows: Rows) -> str:
    first = rows[0]
    if first.outcome != "applied":
        return first.outcome
    return "accepted" if first.accepted else "refused"
