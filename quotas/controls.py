"""What owners decide: billed overage up to a cap or none, and when to be told."""

from dataclasses import dataclass

from django.db import transaction

from billing.entitlement.store import current
from orgs import audit
from orgs.models import Organization, User
from quotas.engine import limits
from quotas.models import AlertSetting, UsageControl
from quotas.reaction import alerts


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`cap` is in minor units of `currency` per usage period; None leaves the plan's own."""

    choice: str
    cap: int | None
    currency: str


@transaction.atomic
def decide(organization: Organization, meter: str, decision: Decision, *, actor: User) -> None:
    """Takes effect at once: the limits are derived again in the same transaction."""
    before = UsageControl.objects.filter(organization=organization, meter=meter).first()
    control, _made = UsageControl.objects.update_or_create(
        organization=organization,
        meter=meter,
        defaults={
            "choice": decision.choice,
            "cap": decision.cap,
            "currency": decision.currency,
        },
    )
    if _values(before) == _values(control):
        return
    limits.derive(organization, current(organization))
    audit.record(
        "usage.overage_decided",
        organization=organization,
        actor=actor,
        target=meter,
        before=_values(before),
        after=_values(control),
    )


@transaction.atomic
def set_thresholds(organization: Organization, thresholds: list[int], *, actor: User) -> None:
    """Percentages; none at all means no mail about limits."""
    before = alerts.thresholds(organization)
    chosen = sorted(set(thresholds))
    AlertSetting.objects.update_or_create(
        organization=organization, defaults={"thresholds": chosen}
    )
    if before != chosen:
        audit.record(
            "usage.alerts_changed",
            organization=organization,
            actor=actor,
            before={"thresholds": before},
            after={"thresholds": chosen},
        )


def _values(control: UsageControl | None) -> dict[str, object] | None:
    if control is None:
        return None
    return {"choice": control.choice, "cap": control.cap, "currency": control.currency}
