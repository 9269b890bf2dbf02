"""The way back after a restore from backup, as one command that may be repeated."""

from collections.abc import Iterator

import structlog

from billing import recovery
from billing.findings import Finding, failed, ok, warning
from quotas.engine import partitions, restoring
from quotas.reading import reconciliation, rollups

logger = structlog.get_logger(__name__)


def recover() -> Iterator[Finding]:
    """Before web, workers and beat start: nothing else may number or count meanwhile."""
    yield _gap()
    yield ok("sequences", f"{restoring.leap()} organizations number beyond what was given out.")
    partitions.prepare()
    yield from _stripe()
    yield from _usage()


def _gap() -> Finding:
    newest = restoring.recorded_until()
    until = "never" if newest is None else newest.isoformat(timespec="seconds")
    logger.error("alert.restored_from_backup", recorded_until=until)
    return warning(
        "ledger-gap",
        f"Usage that was acknowledged after {until} is not in this backup.",
        "Satellites replay by the same keys what they kept, and put their levels.",
    )


def _stripe() -> Iterator[Finding]:
    report = recovery.resync_everybody()
    if report.failed:
        yield failed(
            "stripe",
            f"{report.failed} customers could not be fetched from Stripe.",
            "Run it again; each failure is in the log.",
        )
    else:
        yield ok(
            "stripe",
            f"{report.undelivered} events and {report.resynced} customers fetched from Stripe,"
            f" {report.findings} differences.",
        )


def _usage() -> Iterator[Finding]:
    rollups.catch_up()
    suspected = [
        one
        for chunk in reconciliation.chunks(reconciliation.all_organizations())
        for one in reconciliation.differences(chunk)
    ]
    if suspected:
        yield failed(
            "usage",
            f"{len(suspected)} sums differ from the ledger.",
            "manage.py usage reconcile shows them, and --repair puts them right.",
        )
    else:
        yield ok("usage", "Ledger, balances and roll-ups say the same.")
