"""Seats and the people who need them, where a plan refuses whoever has none."""

from django.utils.translation import gettext as _

from billing import catalog, ports
from billing.exceptions import SeatsInUse
from billing.models import EffectivePlan, Source, SubscriptionPlan
from orgs.models import Organization


def check(organization: Organization, plan: SubscriptionPlan, seats: int) -> None:
    """Raises SeatsInUse: nobody who is in may find themselves without a seat after paying."""
    entry = catalog.current().plans.get(plan.key)
    if entry is None or not entry.per_seat or entry.seats.beyond != "refuse":
        return
    used = in_use(organization, plan.key)
    if seats < used:
        raise SeatsInUse(
            _("%(used)s people are in. Buy a seat for each of them, or remove members first.")
            % {"used": used},
            field="seats",
            used=used,
            minimum=used,
        )


def in_use(organization: Organization, plan_key: str) -> int:
    """People who need a seat of the plan, 0 where its seats cover nothing that is counted."""
    entry = catalog.current().plans.get(plan_key)
    if entry is None or entry.seats.cover is None:
        return 0
    return ports.usage().used(organization, entry.seats.cover)


def without_seat(effective: EffectivePlan) -> int:
    """How many people a paid plan by the seat has let in beyond the seats that are paid for."""
    if effective.source != Source.STRIPE or not effective.plan.per_seat:
        return 0
    return max(0, in_use(effective.organization, effective.plan.key) - effective.seats)
