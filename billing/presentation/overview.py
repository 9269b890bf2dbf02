"""The top of the billing page: the plan, what it costs, when it renews, how it is paid."""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.catalog.money import format_money
from billing.models import (
    BillingAccount,
    EffectivePlan,
    PaymentMethod,
    PlanPrice,
    Source,
    SubscriptionPlan,
)
from billing.presentation import pills
from billing.presentation.formats import day, span

_BRANDS = {"amex": "American Express", "unionpay": "UnionPay", "jcb": "JCB"}


@dataclass(frozen=True, kw_only=True)
class Card:
    name: str
    expires: str


@dataclass(frozen=True, kw_only=True)
class Overview:
    plan: str
    pill: pills.Pill
    price: str
    terms: str
    period: str
    card: Card | None
    billing_email: str
    manages_at_stripe: bool  # paid or subscribed once; a customer alone has nothing to manage


def of(effective: EffectivePlan, account: BillingAccount | None) -> Overview:
    """Dates are written in the active time zone."""
    card = _card(effective)
    pays = effective.source == Source.STRIPE
    return Overview(
        plan=effective.plan.name,
        pill=pills.of_plan(effective),
        price=_price(effective),
        terms=_terms(effective),
        period=_period(effective),
        card=card,
        billing_email=effective.organization.email,
        manages_at_stripe=bool(account and account.stripe_customer_id and (card or pays)),
    )


def _price(effective: EffectivePlan) -> str:
    if effective.plan.kind == SubscriptionPlan.Kind.FREE:
        return _("Free")
    price = PlanPrice.objects.with_stripe_id(effective.price_id).first()
    if price is None:
        return ""
    amount = format_money(price.unit_amount, price.currency)
    if not effective.plan.per_seat:
        each = _("%(amount)s a year") if _yearly(price) else _("%(amount)s a month")
        return each % {"amount": amount}
    each = _("%(amount)s per seat a year") if _yearly(price) else _("%(amount)s per seat a month")
    seats = ngettext("%(n)d seat", "%(n)d seats", effective.seats) % {"n": effective.seats}
    return f"{each % {'amount': amount}}, {seats}"


def _yearly(price: PlanPrice) -> bool:
    return price.interval == PlanPrice.Interval.YEAR


def _terms(effective: EffectivePlan) -> str:
    if effective.source == Source.STRIPE:
        return f"{_billed(effective)} {_what_comes(effective)}"
    if effective.source == Source.DEFAULT:
        return _("No card is needed.")
    given = {"source": Source(effective.source).label}
    if effective.ends_at is None:
        return _("%(source)s, without an end.") % given
    return _("%(source)s until %(day)s.") % (given | {"day": day(effective.ends_at)})


def _billed(effective: EffectivePlan) -> str:
    currency = {"currency": effective.currency.upper()}
    if effective.interval == PlanPrice.Interval.YEAR:
        return _("Billed yearly in %(currency)s.") % currency
    return _("Billed monthly in %(currency)s.") % currency


def _what_comes(effective: EffectivePlan) -> str:
    if effective.ends_at is not None:
        return _("Ends on %(day)s.") % {"day": day(effective.ends_at)}
    if effective.period_end is None:
        return ""
    if effective.status == "trialing":
        return _("The trial ends on %(day)s.") % {"day": day(effective.period_end)}
    return _("Renews on %(day)s.") % {"day": day(effective.period_end)}


def _period(effective: EffectivePlan) -> str:
    if effective.period_start is None or effective.period_end is None:
        return ""
    period = span(effective.period_start, effective.period_end)
    return _("Period %(period)s.") % {"period": period}


def _card(effective: EffectivePlan) -> Card | None:
    found = (
        PaymentMethod.objects.filter(organization_id=effective.organization_id)
        .order_by("-is_default", "-pk")
        .first()
    )
    if found is None:
        return None
    brand = _BRANDS.get(found.brand, found.brand.title()) or found.type.replace("_", " ")
    name = _("%(brand)s ending in %(last4)s") % {"brand": brand, "last4": found.last4}
    expires = f"{found.exp_month:02d}/{found.exp_year}" if found.exp_month else ""
    return Card(name=name if found.last4 else brand, expires=expires)
