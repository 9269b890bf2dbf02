"""Tells owners and admins, once per meter and period, that a limit comes near or is reached."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation

from billing import catalog
from billing.catalog.amounts import format_amount
from billing.messages import outbox
from billing.models import OutboxMessage
from orgs import capabilities
from orgs.capabilities import Capability
from orgs.models import Organization
from quotas.engine.decisions import instant
from quotas.models import Alert, AlertSetting, Kind
from quotas.reading import usage
from quotas.reading.usage import FULL, Usage, UsageReading
from quotas.signals import usage_crossed

logger = structlog.get_logger(__name__)

# The cap of a soft limit, on the scale of thresholds: what is billed beyond 100 % ends there.
CAP: Final = 1000
APPROACHING: Final = "mail.limit_approaching"
REACHED: Final = "mail.limit_reached"


def thresholds(organization: Organization) -> list[int]:
    """Percentages, lowest first; the catalogue's until somebody chose others."""
    setting = AlertSetting.objects.filter(organization=organization).first()
    chosen = catalog.current().alerts.thresholds if setting is None else setting.thresholds
    return sorted(chosen)


def look(organizations: Iterable[UUID]) -> int:
    """After the roll-ups: every organization whose usage moved. Returns how many alerts are new."""
    found = 0
    for organization in Organization.objects.open().filter(pk__in=list(organizations)):
        try:
            with transaction.atomic():
                found += len(raise_for(organization))
        except Exception:  # one organization's trouble must not silence the others' alerts
            logger.exception("alert.usage_alerts_failed", organization=str(organization.pk))
    return found


def raise_for(organization: Organization) -> list[Alert]:
    """The thresholds that are newly crossed; one mail per meter, about the highest of them."""
    marks = thresholds(organization)
    if not marks:
        return []
    seen = usage.of(organization)
    found: list[Alert] = []
    for reading in seen.readings:
        crossed = [_alert(seen, reading, mark) for mark in _crossed(reading, marks)]
        fresh = [alert for alert, created in crossed if created]
        for alert in fresh:
            usage_crossed.send(Alert, organization=organization, alert=alert)
        if fresh:
            _tell(seen, reading, fresh[-1])
        found += fresh
    return found


def facts(alert: Alert) -> dict[str, Any]:
    """For notices to satellites (`quota.crossed`)."""
    return {
        "organization": str(alert.organization_id),
        "meter": alert.meter,
        "member": alert.member or None,
        "threshold": None if alert.threshold == CAP else alert.threshold,
        "cap": alert.threshold == CAP,
        "used": alert.used,
        "limit": alert.allowance,
        "period_start": instant(alert.period_start),
        "crossed_at": instant(alert.crossed_at),
    }


def _crossed(reading: UsageReading, marks: list[int]) -> list[int]:
    """Nothing is said of what is not enforced and of a limit of nothing. People fill rows by
    their own clicks, so of those only what a smaller plan left beyond its limit is news."""
    percent = reading.percent
    if percent is None or not reading.is_enforced or reading.refusal:
        return []
    if reading.kind == Kind.ROWS:
        return [FULL] if reading.overage and FULL in marks else []
    if reading.kind not in {Kind.LEVEL, Kind.FLOW} or reading.per_member:
        return []
    crossed = [mark for mark in marks if percent >= mark]
    return [*crossed, CAP] if reading.is_capped and marks[-1] == FULL else crossed


def _alert(seen: Usage, reading: UsageReading, mark: int) -> tuple[Alert, bool]:
    """Once per period; a level has none of its own, so it speaks once per usage month."""
    return Alert.objects.get_or_create(
        organization=seen.organization,
        meter=reading.key,
        member="",
        period_start=_period_start(seen, reading),
        threshold=mark,
        defaults={"used": reading.used, "allowance": reading.limit or 0},
    )


def _period_start(seen: Usage, reading: UsageReading) -> datetime:
    return reading.period.start if reading.resets_at is not None else seen.period.start


def _tell(seen: Usage, reading: UsageReading, alert: Alert) -> None:
    kind = APPROACHING if alert.threshold < FULL else REACHED
    wanted = catalog.current().mail
    if not (wanted.limit_approaching if kind == APPROACHING else wanted.limit_reached):
        return
    ahead = reading.projection
    outbox.put(
        seen.organization,
        kind,
        once_per=str(alert.pk),
        payload={
            "meter": reading.key,
            "threshold": alert.threshold,
            "used": alert.used,
            "limit": alert.allowance,
            "stops": reading.is_full,
            "billed": reading.extra is not None,
            "reached_at": instant(ahead.reached_at) if ahead and ahead.reached_at else None,
            "resets_at": instant(reading.resets_at) if reading.resets_at else None,
        },
    )


# --- The mail ---------------------------------------------------------------------------------


@outbox.sender(APPROACHING)
@outbox.sender(REACHED)
def send_mail(message: OutboxMessage) -> None:
    """In the organization's language and time zone, to those who may see its usage."""
    organization = message.organization
    if organization is None:
        raise LookupError("an alert belongs to an organization")
    to = recipients(organization)
    if not to:
        return
    name = message.kind.removeprefix("mail.")
    with (
        translation.override(organization.language),
        timezone.override(organization.time_zone),
    ):
        context = _context(organization, message.payload)
        text = render_to_string(f"emails/quotas/{name}.txt", context)
        html = render_to_string(f"emails/quotas/{name}.html", context)
    subject, _newline, body = text.partition("\n")
    mail = EmailMultiAlternatives(subject=subject.strip(), body=body.strip(), to=to)
    mail.attach_alternative(html, "text/html")
    mail.send()


def recipients(organization: Organization) -> list[str]:
    roles = capabilities.roles_with(Capability.USAGE_VIEW)
    people = organization.memberships.filter(role__in=roles, user__is_active=True)
    return list(people.order_by("joined_at", "pk").values_list("user__email", flat=True))


def _context(organization: Organization, payload: dict[str, Any]) -> dict[str, Any]:
    meter = catalog.current().meters[payload["meter"]]
    path = reverse("quotas:usage", kwargs={"slug": organization.slug})
    return {
        "organization": organization,
        "meter": str(meter.name),
        "at_limit": str(meter.at_limit),
        "percent": payload["threshold"],
        "capped": payload["threshold"] == CAP,
        "used": format_amount(payload["used"], meter),
        "limit": format_amount(payload["limit"], meter),
        "stops": payload["stops"],
        "billed": payload["billed"],
        "reached_at": _moment(payload["reached_at"]),
        "resets_at": _moment(payload["resets_at"]),
        "usage_url": settings.SITE_URL + path,
        "support": catalog.current().contacts.support,
    }


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
