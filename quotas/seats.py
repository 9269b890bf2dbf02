"""The members page's answer to "how many seats": bound to orgs when quotas starts."""

from django.utils.translation import gettext as _

from billing.catalog.money import format_money
from billing.entitlement.facts import CatalogueNotApplied
from billing.entitlement.store import current
from billing.models import EffectivePlan, PlanPrice, Source
from orgs.models import Organization
from orgs.ports import Seats
from quotas.engine import members


class PlanSeats:
    """Members counted against the plan; a limit that is not enforced is no limit to people."""

    def seats(self, organization: Organization) -> Seats:
        read = members.read_seats(organization)
        sold = _sold(organization)
        return Seats(
            used=read.used,
            limit=read.limit if read.enforced else None,
            bought=sold.seats if sold else None,
            next_price=_next_price(sold) if sold else "",
        )


def _sold(organization: Organization) -> EffectivePlan | None:
    """The plan, where somebody pays for it by the seat and the seats are for members."""
    try:
        effective = current(organization)
    except CatalogueNotApplied:
        return None
    covers = (effective.plan.data.get("seats") or {}).get("cover") == members.METER
    pays = effective.source == Source.STRIPE and effective.plan.per_seat
    return effective if pays and covers else None


def _next_price(effective: EffectivePlan) -> str:
    price = PlanPrice.objects.with_stripe_id(effective.price_id).first()
    if price is None:
        return ""
    amount = {"amount": format_money(price.unit_amount, price.currency)}
    if price.interval == PlanPrice.Interval.YEAR:
        return _("Each seat costs %(amount)s a year.") % amount
    return _("Each seat costs %(amount)s a month.") % amount
