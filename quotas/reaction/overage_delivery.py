"""From the outbox of overage to Stripe: once each, on an invoice that is still open.

Within a day Stripe knows an identifier again, so a lost answer is simply asked for anew. After
that Stripe's own count is read first: to the minute, because that is its finest resolution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import SystemRandom
from typing import Final

import structlog
from django.db import transaction
from django.utils import timezone

from billing.entitlement.clock import now_for
from billing.exceptions import BillingError, StripeUnavailable
from billing.subscription import metering
from billing.subscription.metering import Metered, MeterEvent
from orgs.models import Organization
from quotas.models import OverageReport
from quotas.reaction import overage

logger = structlog.get_logger(__name__)

# Stripe remembers identifiers for 24 hours at least.
_REMEMBERED: Final = timedelta(hours=23)
# Its sums follow events with a delay.
_SUMS_LAG: Final = timedelta(minutes=10)
# A renewal's invoice stays a draft for an hour and takes usage of the period that is over.
_DRAFT: Final = timedelta(minutes=50)
_OLDEST: Final = timedelta(days=34)
_LEASE: Final = timedelta(minutes=2)
_FIRST_DELAY: Final = timedelta(seconds=5)
_LONGEST_DELAY: Final = timedelta(minutes=15)
_SECOND: Final = timedelta(seconds=1)
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class _Now:
    """Both clocks: the wall's, and the organization's own where it has a test clock."""

    wall: datetime
    own: datetime


def settle(organization: Organization) -> None:
    """Now, before something ends a period or a subscription: what fails is repeated later."""
    if overage.take_stock(organization):
        deliver(organization)


def deliver_due(limit: int = 500) -> int:
    """Sends what is due; returns how many reports arrived."""
    due = OverageReport.objects.due(timezone.now()).order_by("next_attempt_at", "pk")
    return sum(_deliver(pk) for pk in due.values_list("pk", flat=True)[:limit])


def deliver(organization: Organization) -> int:
    due = OverageReport.objects.due(timezone.now()).filter(organization=organization)
    return sum(_deliver(pk) for pk in due.order_by("pk").values_list("pk", flat=True))


def _deliver(pk: int) -> int:
    report = _claim(pk)
    if report is None:
        return 0
    now = _Now(timezone.now(), now_for(report.organization))
    meter = metering.of(report.organization).get(report.meter)
    try:
        _next_step(report, meter, now)(report, meter, now)
    except StripeUnavailable as error:
        _later(report, str(error))
    except BillingError as error:
        logger.error("alert.overage_refused", report=report.identifier, error=error.code)  # noqa: TRY400
        _later(report, str(error))
    return int(report.state == OverageReport.State.SENT)


def _claim(pk: int) -> OverageReport | None:
    """Leased, not locked: nothing is locked while Stripe is asked, and a crash ends the lease."""
    with transaction.atomic():
        report: OverageReport | None = (
            OverageReport.objects.due(timezone.now())
            .select_for_update(skip_locked=True, of=("self",))
            .select_related("organization")
            .filter(pk=pk)
            .first()
        )
        if report is not None:
            report.attempts += 1
            report.next_attempt_at = timezone.now() + _LEASE
            report.save(update_fields=["attempts", "next_attempt_at"])
        return report


Step = Callable[[OverageReport, Metered | None, _Now], None]


def _next_step(report: OverageReport, meter: Metered | None, now: _Now) -> Step:
    if report.doubt_since is None:
        return _waive if meter is None else _send_anew
    is_remembered = _since(report.doubt_since, report.doubt_since_own, now) < _REMEMBERED
    at = report.event_at
    if meter is not None and is_remembered and at is not None and _is_billed_at(at, meter, now):
        return _send_again
    return _look_first


def _send_anew(report: OverageReport, meter: Metered | None, now: _Now) -> None:
    assert meter is not None  # noqa: S101  _next_step saw to it
    report.event_at = _instant_for(report, meter, now)
    report.doubt_since, report.doubt_since_own = now.wall, now.own
    _send(report, meter, now, was_in_doubt=False)


def _send_again(report: OverageReport, meter: Metered | None, now: _Now) -> None:
    assert meter is not None  # noqa: S101  _next_step saw to it
    _send(report, meter, now, was_in_doubt=True)


def _send(report: OverageReport, meter: Metered, now: _Now, *, was_in_doubt: bool) -> None:
    """The doubt is committed before Stripe is asked: a crash in between must not look unsent."""
    report.tried_at, report.tried_at_own = now.wall, now.own
    report.save(
        update_fields=["event_at", "doubt_since", "doubt_since_own", "tried_at", "tried_at_own"]
    )
    event = MeterEvent(
        identifier=report.identifier,
        event_name=meter.event_name,
        customer_id=report.customer_id,
        units=report.units,
        at=report.event_at or now.own,
    )
    try:
        metering.send(event)
    except StripeUnavailable:
        raise
    except BillingError:
        if not was_in_doubt:  # a refusal is an answer: it did not arrive
            report.doubt_since = report.doubt_since_own = None
        raise
    _arrived(report, now)


def _look_first(report: OverageReport, meter: Metered | None, now: _Now) -> None:
    """Nothing is sent on a guess: the minute's sum holds the report, or it does not."""
    at = report.event_at
    if at is None or _since(report.tried_at, report.tried_at_own, now) < _SUMS_LAG:
        _later(report, "waits for Stripe's sums")
        return
    counted = metering.counted_in_minute(report.meter, report.customer_id, at)
    known = _reported_in_minute(report, at)
    if counted == known + report.units:
        _arrived(report, now)
    elif counted == known:
        report.doubt_since = report.doubt_since_own = None
        _next_step(report, meter, now)(report, meter, now)
    else:
        logger.error(
            "alert.overage_ambiguous",
            report=report.identifier,
            counted=str(counted),
            known=known,
            units=report.units,
        )
        _later(report, f"Stripe counts {counted} in that minute, we know of {known}")


def _reported_in_minute(report: OverageReport, at: datetime) -> int:
    start = at.replace(second=0, microsecond=0)
    sent = OverageReport.objects.filter(
        customer_id=report.customer_id,
        meter=report.meter,
        state=OverageReport.State.SENT,
        event_at__gte=start,
        event_at__lt=start + timedelta(minutes=1),
    )
    return sum(sent.values_list("units", flat=True))


def _waive(report: OverageReport, meter: Metered | None, now: _Now) -> None:
    """The subscription has ended with its last invoice: nobody is left to bill."""
    logger.warning("usage.overage_not_billed", report=report.identifier, units=report.units)
    report.state = OverageReport.State.WAIVED
    report.reason = OverageReport.Reason.ENDED
    report.save(update_fields=["state", "reason"])


# --- When a unit counts -----------------------------------------------------------------------


def _instant_for(report: OverageReport, meter: Metered, now: _Now) -> datetime:
    """Inside the usage period while its invoice takes it; what is late goes with the next one."""
    last = report.period_end - _SECOND
    at = max(min(now.own, last), report.period_start).replace(microsecond=0)
    return at if _is_billed_at(at, meter, now) else now.own.replace(microsecond=0)


def _is_billed_at(at: datetime, meter: Metered, now: _Now) -> bool:
    """Whether an event of that instant still gets onto an invoice."""
    edge = meter.last_edge(now.own)
    is_open = at >= edge or now.own < edge + _DRAFT
    return is_open and at >= now.own - _OLDEST


def _since(wall: datetime | None, own: datetime | None, now: _Now) -> timedelta:
    """By the clock that has gone on longer."""
    passed = [now.wall - wall] if wall else []
    passed += [now.own - own] if own else []
    return max(passed, default=timedelta.max)


# --- Ends -------------------------------------------------------------------------------------


def _arrived(report: OverageReport, now: _Now) -> None:
    report.state = OverageReport.State.SENT
    report.sent_at = now.wall
    report.last_error = ""
    report.save(update_fields=["state", "sent_at", "last_error"])
    logger.info("usage.overage_reported", report=report.identifier, units=report.units)


def _later(report: OverageReport, why: str) -> None:
    delay: timedelta = min(_FIRST_DELAY * 2 ** min(report.attempts, 12), _LONGEST_DELAY)
    jitter: float = 0.75 + _random.random() / 2
    report.next_attempt_at = timezone.now() + delay * jitter
    report.last_error = why[:500]
    report.save(update_fields=["next_attempt_at", "last_error", "doubt_since", "doubt_since_own"])
