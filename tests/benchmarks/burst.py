"""python -m tests.benchmarks.burst: ten thousand webhooks at once, and five killed workers.

Every event goes to our webhook and, by the same sender, to a view that makes one row durable; then
to dj-stripe's own webhook view, which applies it before it answers.
"""

import argparse
import os
import secrets
import sys
import time
from typing import Any
from uuid import uuid4

from tests import installation
from tests.stripe_simulator import process

CEILING = "/bench/insert"
# Acknowledging may cost so many times one durable insert.
MOST = 2.0
# The ceiling does the same before and after; where it differs by more, others had the machine.
STEADY = 1.5
PROBE = 400
PATIENCE_SECONDS = 120.0
Figures = dict[str, Any]


def main() -> None:
    asked = _arguments()
    port = process.free_port()
    os.environ |= _environment(port)
    installation.install("burst", "tests.benchmarks.burst_settings")
    state = installation.var() / "burst" / f"stripe-{uuid4().hex[:8]}"
    with process.start(port, state, strict=False) as simulator:
        figures = _measure(asked, simulator)
    from tests.benchmarks import report  # noqa: PLC0415  needs the installation

    report.write(installation.var() / "burst.json", figures | {"machine": report.machine()})
    _say(f"written to {installation.var() / 'burst.json'}")
    good = not figures["lost"] and figures["steady"] and figures["p99_of_ceiling"] <= MOST
    sys.exit(0 if good or not asked.strict else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.burst")
    parser.add_argument("--customers", type=int, default=1_000)
    parser.add_argument("--each", type=int, default=10, help="events per customer")
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--djstripe", type=int, default=2_000, help="events for dj-stripe's view")
    parser.add_argument("--strict", action="store_true", help="fail when anything is missed")
    return parser.parse_args()


def _environment(port: int) -> dict[str, str]:
    return {
        "DEBUG": "0",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ALLOWED_HOSTS": "127.0.0.1",
        "SITE_URL": "http://127.0.0.1",
        "DJSTRIPE_SHIM": "1",
        "EMAIL_URL": "memorymail://",
        "LOG_LEVEL": "ERROR",
        "SECURE_SSL_REDIRECT": "0",
        "STRIPE_SECRET_KEY": "sk_test_" + "51LedgerlineBurstOnly0000",
        "STRIPE_WEBHOOK_SECRET": "whsec_" + "ledgerline_burst_only",
        "STRIPE_SIMULATOR_URL": f"http://127.0.0.1:{port}",
        "STRIPE_TEST_CLOCKS": "0",
    }


def _measure(asked: argparse.Namespace, simulator: Any) -> Figures:
    from billing import catalog  # noqa: PLC0415  all of these need the installation
    from billing.catalog.apply import apply  # noqa: PLC0415
    from billing.gateway import stripe_api  # noqa: PLC0415
    from tests.benchmarks import bursting  # noqa: PLC0415

    _empty()
    simulator.set_delivery("hold")
    apply(catalog.current(), stripe_api, {})
    _say(f"{asked.customers:,} customers subscribe at the simulator")
    organizations = bursting.subscribers(asked.customers)
    events = bursting.events_of(simulator, organizations, asked.each)
    folder = installation.var() / "burst"
    web = installation.Web("config.rsgi:application", threads=16, log=folder / "web.log")
    worker = bursting.Worker(os.environ, folder)
    web.start()
    try:
        web.wait()
        worker.start()
        figures = _burst(asked, web.url, worker, events)
        figures["lost"] = bursting.audit(organizations, events)
        worker.stop()
        figures |= _theirs(asked, web.url, events)
    finally:
        worker.stop()
        web.stop()
    _tell(figures)
    return figures


def _burst(asked: argparse.Namespace, url: str, worker: Any, events: list[Any]) -> Figures:
    """Sending and applying at once; the ceiling is probed alone before and after."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    from tests.benchmarks import bursting  # noqa: PLC0415

    # Every thread of the server opens its connections before anything is measured.
    bursting.send(url, (bursting.WEBHOOKS,), events[: 8 * asked.senders], asked.senders)
    before = _probe(url, asked.senders)
    _say(f"{len(events):,} events by {asked.senders} senders, {asked.kills} kills")
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        paths = (bursting.WEBHOOKS, CEILING)
        sending = pool.submit(bursting.send, url, paths, events, asked.senders)
        bursting.watch(
            worker,
            events=len(events),
            kills=asked.kills,
            patience=PATIENCE_SECONDS,
            nudge=lambda: None,
        )
        applied = time.monotonic() - began
        acknowledged, sent = sending.result()
    after = _probe(url, asked.senders)
    ours, ceiling = acknowledged[bursting.WEBHOOKS], acknowledged[CEILING]
    return {
        "events": len(events),
        "customers": asked.customers,
        "kills": worker.kills,
        "statuses": dict(ours.statuses),
        "acknowledge_ms": {"p50": ours.p(50), "p99": ours.p(99)},
        "ceiling_ms": {"p50": ceiling.p(50), "p99": ceiling.p(99)},
        "p99_of_ceiling": ours.p(99) / ceiling.p(99),
        "sent_seconds": sent,
        "applied_seconds": applied,
        "applied_per_second": len(events) / applied,
        "ceiling_fastest_over_slowest": max(before, after) / min(before, after),
        "steady": max(before, after) / min(before, after) <= STEADY,
    }


def _probe(url: str, senders: int) -> float:
    """The ceiling's own rate, with nothing else to do."""
    from tests.benchmarks import bursting  # noqa: PLC0415

    events = [{"id": uuid4().hex} for _ in range(PROBE)]
    _found, seconds = bursting.send(url, (CEILING,), events, senders)
    return PROBE / seconds


def _theirs(asked: argparse.Namespace, url: str, events: list[Any]) -> Figures:
    """dj-stripe's view on the first of the same events, from an empty mirror."""
    from django.conf import settings  # noqa: PLC0415  needs the installation
    from djstripe.models import WebhookEndpoint  # noqa: PLC0415

    from tests.benchmarks import bursting  # noqa: PLC0415

    bursting.forget_mirror()
    endpoint = WebhookEndpoint.objects.create(
        id=f"we_{uuid4().hex}",
        livemode=False,
        enabled_events=["*"],
        secret=settings.STRIPE_WEBHOOK_SECRETS[0],
        status="enabled",
        url="https://burst.example.com",
    )
    path = f"/bench/djstripe/webhook/{endpoint.djstripe_uuid}/"
    part = events[: asked.djstripe]
    _say(f"{len(part):,} of them to dj-stripe's own view")
    found, seconds = bursting.send(url, (path,), part, asked.senders)
    theirs = found[path]
    return {
        "djstripe_events": len(part),
        "djstripe_statuses": dict(theirs.statuses),
        "djstripe_ms": {"p50": theirs.p(50), "p99": theirs.p(99)},
        "djstripe_per_second": len(part) / seconds,
    }


def _empty() -> None:
    """What an earlier run left."""
    from django.core.management import call_command  # noqa: PLC0415  needs the installation
    from django.db import connection  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('ALTER TABLE %s DISABLE TRIGGER %I', tgrelid::regclass, tgname)"
            " FROM pg_trigger WHERE NOT tgisinternal AND tgtype & 32 <> 0"
        )
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)
    call_command("flush", interactive=False, verbosity=0)


def _tell(found: Figures) -> None:
    ours, ceiling, theirs = (found[f"{name}_ms"] for name in ("acknowledge", "ceiling", "djstripe"))
    ratio = found["p99_of_ceiling"]
    _say(
        f"acknowledged: p50 {ours['p50']:.1f} ms, p99 {ours['p99']:.1f} ms;"
        f" one durable insert: p50 {ceiling['p50']:.1f} ms, p99 {ceiling['p99']:.1f} ms;"
        f" p99 over p99: {ratio:.2f} ({'pass' if ratio <= MOST else 'MISSED'}: not above {MOST:g})"
    )
    _say(
        f"applied: {found['events']:,} events in {found['applied_seconds']:.0f} s,"
        f" {found['applied_per_second']:.0f} per second, with {found['kills']} killed workers;"
        f" sent within {found['sent_seconds']:.0f} s"
    )
    _say(
        f"dj-stripe's own view: {found['djstripe_per_second']:.0f} events per second,"
        f" p50 {theirs['p50']:.0f} ms, p99 {theirs['p99']:.0f} ms, {found['djstripe_statuses']}"
    )
    for sentence in found["lost"][:20] or ["nothing was lost, nobody's plan is missing"]:
        _say(sentence)
    if not found["steady"]:
        spread = found["ceiling_fastest_over_slowest"]
        _say(f"UNSTEADY: the ceiling differs {spread:.1f}-fold. No rate above is a result.")


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
