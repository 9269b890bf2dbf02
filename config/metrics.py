"""`/metrics` for Prometheus: what this process has counted, and the state of the installation.

Open to whoever holds METRICS_TOKEN; without one there is no such page. No label names an
organization, a person or anything else whose number grows.
"""

import os
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.db.models import Count, Min
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from billing.insight import drift, pulse
from billing.models import InboxEvent, OutboxMessage
from quotas.engine import counters
from quotas.models import NoticeDelivery
from quotas.reading import rollups

if TYPE_CHECKING:
    from django.db.models import QuerySet

_BEARER = "Bearer "


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    offered = request.headers.get("Authorization", "")
    expected = f"{_BEARER}{settings.METRICS_TOKEN}"
    if not settings.METRICS_TOKEN or not secrets.compare_digest(
        offered.encode(), expected.encode()
    ):
        raise Http404
    return HttpResponse(
        generate_latest(_counted()) + generate_latest(_State()), content_type=CONTENT_TYPE_LATEST
    )


def _counted() -> CollectorRegistry:
    """With several web processes on one port, the sums of all, kept in files that they share."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return REGISTRY
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return together


class _State(CollectorRegistry):
    """Asked of the database at each scrape, so that every process says the same."""

    def collect(self) -> Iterator[Metric]:
        now = timezone.now()
        for queue in _QUEUES:
            yield from _queue(queue, now)
        yield from _drift(now)
        yield _seconds("beat_silence", pulse.last_beat(), now)
        yield _gauge("rollup_staleness_seconds", rollups.staleness_seconds())
        yield _gauge("redis_up", int(counters.is_alive()))


class _Queue(NamedTuple):
    name: str
    rows: "QuerySet[Any]"
    arrived: str  # the field
    given_up: str  # the state that somebody has to do something about


_QUEUES = (
    _Queue("inbox", InboxEvent.objects.all(), "received_at", InboxEvent.State.DEAD),
    _Queue("outbox", OutboxMessage.objects.all(), "created_at", OutboxMessage.State.DEAD),
    _Queue("notices", NoticeDelivery.objects.all(), "created_at", NoticeDelivery.State.FAILED),
)
_WAITING = "waiting"  # the same word in all three


def _queue(queue: _Queue, now: datetime) -> Iterator[Metric]:
    states = (_WAITING, str(queue.given_up))
    counted = queue.rows.filter(state__in=states).values_list("state")
    found = {
        state: (number, oldest)
        for state, number, oldest in counted.annotate(number=Count("pk"), oldest=Min(queue.arrived))
    }
    size = GaugeMetricFamily(
        f"ledgerline_{queue.name}_rows", "Waiting, and given up.", labels=["state"]
    )
    for state, name in zip(states, ("waiting", "given_up"), strict=True):
        size.add_metric([name], found.get(state, (0, None))[0])
    yield size
    yield _seconds(f"{queue.name}_age", found.get(_WAITING, (0, None))[1], now)


def _drift(now: datetime) -> Iterator[Metric]:
    """Of the last day; what waits for a person is counted for a month."""
    kinds = GaugeMetricFamily(
        "ledgerline_drift_findings", "What differed from Stripe, in 24 hours.", labels=["kind"]
    )
    for kind, number in drift.by_kind(since=now - timedelta(days=1)).items():
        kinds.add_metric([kind], number)
    yield kinds
    yield _gauge("drift_unrepaired", drift.waiting_for_a_person(since=now - timedelta(days=30)))
    yield _seconds("reconcile_age", drift.last_reconcile(), now)


def _seconds(name: str, since: datetime | None, now: datetime) -> Metric:
    """How long ago; 0 where nothing waits."""
    seconds = 0.0 if since is None else max((now - since).total_seconds(), 0.0)
    return _gauge(f"{name}_seconds", seconds)


def _gauge(name: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(f"ledgerline_{name}", _HELP[name])
    gauge.add_metric([], value)
    return gauge


_HELP = {
    "inbox_age_seconds": "Age of the oldest event of Stripe that waits.",
    "outbox_age_seconds": "Age of the oldest letter that waits.",
    "notices_age_seconds": "Age of the oldest notice to a satellite that waits.",
    "drift_unrepaired": "Differences from Stripe of a month that wait for a person.",
    "reconcile_age_seconds": "Since the reconcile last came to its end; 0 before the first.",
    "beat_silence_seconds": "Since beat last came round.",
    "rollup_staleness_seconds": "Since the charts were last brought up to date.",
    "redis_up": "1 where readings can be cached.",
}
