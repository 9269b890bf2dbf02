"""What is under way with a subscription, for the billing page: a scheduled change, a discount."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.catalog.money import format_money
from billing.entitlement import clock
from billing.models import EffectivePlan, PlanPrice, Source, Subscription
from billing.presentation.formats import day
from billing.subscription import promotions
from billing.subscription.promotions import Applied, Discount
from orgs.models import Organization


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    plan: str
    day: str
    what: str


@dataclass(frozen=True, kw_only=True)
class SeatsForm:
    seats: int
    least: int
    most: int | None


def standing_of(organization: Organization) -> Subscription | None:
    found: Subscription | None = (
        organization.subscriptions.standing().order_by("created_at", "stripe_id").first()
    )
    return found


def scheduled(standing: Subscription | None) -> Scheduled | None:
    """What a schedule at Stripe will make of the subscription."""
    if standing is None or "at" not in standing.scheduled:
        return None
    price = (
        PlanPrice.objects.with_stripe_id(standing.scheduled["price"]).select_related("plan").first()
    )
    if price is None:
        return None
    on = day(datetime.fromisoformat(standing.scheduled["at"]))
    return Scheduled(plan=price.plan.name, day=on, what=_terms(price, standing))


def discount(standing: Subscription | None) -> str:
    """“LAUNCH20 is active: 20% off until Dec 4, 2026.”"""
    if standing is None or not standing.discounts:
        return ""
    found = promotions.running(standing, clock.now_for(standing.organization))
    return _discount(found) if found is not None else ""


def applied(found: Applied) -> str:
    if found.discount is not None:
        return _discount(found.discount)
    return _("%(code)s added %(amount)s of credit. The next invoices use it up.") % {
        "code": found.code,
        "amount": format_money(found.credit, found.currency),
    }


def seats(effective: EffectivePlan) -> SeatsForm | None:
    """None where nothing is sold by the seat."""
    plan = effective.plan
    if effective.source != Source.STRIPE or not plan.per_seat:
        return None
    return SeatsForm(seats=effective.seats, least=plan.min_seats, most=plan.max_seats)


def _terms(price: PlanPrice, standing: Subscription) -> str:
    yearly = price.interval == PlanPrice.Interval.YEAR
    billed = _("billed yearly") if yearly else _("billed monthly")
    if not price.plan.per_seat:
        return billed
    n = int(standing.scheduled["quantity"])
    return f"{billed}, {ngettext('%(n)d seat', '%(n)d seats', n) % {'n': n}}"


def _discount(found: Discount) -> str:
    if found.percent_off is not None:
        off = f"{found.percent_off:g}%"
    else:
        off = format_money(found.amount_off or 0, found.currency)
    words = {"code": found.code, "off": off}
    if found.ends_at is None:
        return _("%(code)s is active: %(off)s off.") % words
    return _("%(code)s is active: %(off)s off until %(day)s.") % (
        words | {"day": day(found.ends_at)}
    )
