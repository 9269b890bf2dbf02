"""Usage in an organization's archive: limits, balances, sums, and every event of the ledger."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

from orgs.owned_data.tables import Scope, Table, mine, of_model, register
from quotas.models import (
    Alert,
    AlertSetting,
    Balance,
    Credit,
    LimitAdjustment,
    NoticeDelivery,
    NoticeEndpoint,
    OverageReport,
    Reservation,
    Rollup,
    Satellite,
    ServiceToken,
    UsageControl,
    UsageEvent,
    UsageLimit,
)

_PERIOD = {"period_start": "begin of the usage period", "period_end": "its end"}
_MEMBER = "the member's id, or what the service calls them; empty for the whole organization"


def _limits() -> list[Table]:
    return [
        of_model(
            "limits",
            "What may be used of each meter now.",
            {
                "meter": "the meter",
                "kind": "level, flow, rows or ceiling",
                "amount": "the whole allowance; empty for unlimited",
                "hard": "whether it refuses beyond that",
                "per_member": "whether each member has their own",
                "overage": "what happens beyond: stop, allow or bill",
                "overage_cap": "units beyond that are admitted",
                "period_rule": "when it starts again",
                **_PERIOD,
                "enforcement": "disabled, observe or enforce",
            },
            mine(UsageLimit),
        ),
        of_model(
            "limit_overrides",
            "Limits that were raised or lowered for this organization.",
            {
                "meter": "the meter",
                "mode": "add to the plan's limit, or set it",
                "source": "add-on or override",
                "amount": "how much; empty for unlimited",
                "reason": "why",
                "starts_at": "from when",
                "ends_at": "until when",
                "revoked_at": "when it was withdrawn",
            },
            mine(LimitAdjustment),
        ),
        of_model(
            "usage_decisions",
            "What owners decided about usage beyond the allowance.",
            {
                "meter": "the meter",
                "choice": "bill or stop",
                "cap": "at most so much per period, in minor units",
                "currency": "of the cap",
                "updated_at": "when it was decided",
            },
            mine(UsageControl),
        ),
        of_model(
            "alert_settings",
            "At which percentages of a quota somebody is told.",
            {"thresholds": "percentages"},
            mine(AlertSetting),
        ),
        of_model(
            "alerts",
            "Thresholds that were crossed.",
            {
                "meter": "the meter",
                "member": _MEMBER,
                "period_start": "begin of the usage period",
                "threshold": "percent",
                "used": "what was used by then",
                "allowance": "of how much",
                "crossed_at": "when",
            },
            mine(Alert),
        ),
        of_model(
            "credits",
            "Units paid in advance, and what is left of them.",
            {
                "meter": "the meter",
                "amount": "units that were bought or given",
                "remaining": "units that are left",
                "starts_at": "from when",
                "expires_at": "until when",
                "reason": "why",
                "created_at": "when they were added",
            },
            mine(Credit),
        ),
    ]


def _usage() -> list[Table]:
    return [
        of_model(
            "balances",
            "What was used of each meter in each usage period.",
            {
                "meter": "the meter",
                "member": _MEMBER,
                **_PERIOD,
                "used": "what was used",
                "held": "what open reservations hold",
                "credited": "how much of it credits paid",
                "overage": "units beyond allowance and credits",
                "updated_at": "of the last change",
            },
            mine(Balance),
        ),
        of_model(
            "reservations",
            "Holds, open and ended.",
            {
                "number": "its number",
                "satellite_id": "which service, see services",
                "key": "the service's idempotency key",
                "meter": "the meter",
                "member": _MEMBER,
                "amount": "units that it holds or held",
                "state": "open, committed, voided or expired",
                "created_at": "when it was made",
                "expires_at": "when it ends by itself",
                "ended_at": "when it ended",
            },
            mine(Reservation),
        ),
        of_model(
            "sums",
            "Sums of the ledger by hour and by day (UTC), as charts show them.",
            {
                "grain": "hour or day",
                "bucket": "the hour or day",
                "meter": "the meter",
                "period_start": "begin of the usage period",
                "member": _MEMBER,
                "satellite_id": "which service, see services",
                "dimension": "empty for the sum, else what it is the share of",
                "added": "units that were added",
                "removed": "units that were given back",
                "events": "how many events",
                "refused": "how many refusals",
            },
            mine(Rollup),
        ),
        of_model(
            "overage_reports",
            "Units beyond the allowance that were reported to Stripe, or waived.",
            {
                "meter": "the meter",
                **_PERIOD,
                "number": "which step of that period",
                "units": "how many; less than zero where some were given back",
                "state": "waiting, sent or waived",
                "reason": "why they are not billed",
                "created_at": "when it was written down",
                "sent_at": "when Stripe was told",
            },
            mine(OverageReport),
        ),
        of_model(
            "ledger",
            "Every answer to every report of usage. Ordered by service and key; sequence has the"
            " order of the decisions.",
            {
                "sequence": "the order of the decisions",
                "recorded_at": "when it was decided",
                "occurred_at": "when it happened, by the organization's own time",
                "satellite_id": "which service, see services; 0 for this one",
                "key": "the service's idempotency key",
                "line": "which line of that request; below zero for what ended one",
                "verb": "consume, record, release, level, reserve, commit or void",
                "meter": "the meter",
                "member": _MEMBER,
                **_PERIOD,
                "amount": "units that were asked for",
                "delta": "units that were counted",
                "credited": "how many of them credits paid",
                "billable": "how many of them were beyond the allowance",
                "accepted": "whether it was allowed",
                "reason": "why not",
                "used": "the balance after it",
                "allowance": "the limit at that moment; empty for unlimited",
                "plan": "the plan at that moment",
                "enforcement": "whether limits refused then",
                "dimensions": "what the service said beside it, as the catalogue declares it",
            },
            lambda scope: UsageEvent.objects.filter(
                organization=scope.organization, recorded_at__lt=scope.until
            ),
        ),
    ]


def _services() -> list[Table]:
    return [
        of_model(
            "services",
            "The services that report usage.",
            {"id": "its number", "key": "its key", "name": "its name"},
            lambda _scope: Satellite.objects.all(),
        ),
        of_model(
            "service_tokens",
            "Tokens of services that are for this organization, without their secrets.",
            {
                "satellite.key": "which service",
                "prefix": "how the token begins",
                "meters": "for which meters; empty for all",
                "created_at": "when it was made",
                "expires_at": "when it ends by itself",
                "last_used_at": "when it was last used",
                "revoked_at": "when it was revoked",
            },
            _naming(ServiceToken),
        ),
        of_model(
            "notice_endpoints",
            "Addresses that hear of changes of this organization, without their secrets.",
            {
                "satellite.key": "which service",
                "url": "where notices go",
                "events": "of which kinds; empty for all",
                "meters": "of which meters; empty for all",
                "created_at": "when it was added",
                "disabled_at": "when it was switched off",
            },
            _naming(NoticeEndpoint),
        ),
        of_model(
            "notices",
            "What services were told lately.",
            {
                "type": "what about",
                "sequence": "the order in which they hold",
                "payload": "what was said",
                "state": "waiting, sent or given up",
                "created_at": "when it was written",
                "sent_at": "when it arrived",
            },
            mine(NoticeDelivery),
        ),
    ]


def _naming(model: Any) -> Callable[[Scope], QuerySet[Any]]:
    """Those whose scope names this organization; the others are the operator's."""
    return lambda scope: model.objects.filter(organizations__contains=[scope.organization.pk])


def register_tables() -> None:
    register(*_limits(), *_usage(), *_services())
