"""Promo codes: Stripe's, which take something off a subscription, and ours, which give credit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from billing import catalog
from billing.catalog.policies import Credit
from billing.entitlement import access, clock
from billing.exceptions import NotSubscribed, PromotionRefused, StripeRefused
from billing.gateway import stripe_api
from billing.messages import outbox
from billing.models import Subscription
from billing.subscription import customers, holding
from billing.subscription.holding import Holding
from orgs import audit
from orgs.models import Organization, User

_LONGEST_CODE: Final = 64


@dataclass(frozen=True, kw_only=True)
class Discount:
    """A discount that is running. `amount_off` is in minor units; no `ends_at` means for good."""

    code: str
    percent_off: float | None
    amount_off: int | None
    currency: str
    ends_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Applied:
    """Either a running discount or credit in minor units of `currency`."""

    code: str
    discount: Discount | None = None
    credit: int = 0
    currency: str = ""


@transaction.atomic
def apply(organization: Organization, person: User, code: str) -> Applied:
    """Raises PromotionRefused with the reason, NotSubscribed, and Stripe's troubles."""
    wanted = code.strip()
    access.check_paid_action(organization)
    holding.lock(organization)
    credit = catalog.current().promotions.credits.get(wanted.upper())
    if credit is not None:
        return _give_credit(organization, person, wanted.upper(), credit)
    return _take_off(organization, person, wanted)


def running(subscription: Subscription, now: datetime) -> Discount | None:
    """What the subscription gets off now, from our own row."""
    for one in subscription.discounts:
        ends_at = datetime.fromisoformat(one["ends_at"]) if one.get("ends_at") else None
        if ends_at is None or ends_at > now:
            return Discount(
                code=one.get("code") or one.get("coupon") or "",
                percent_off=one.get("percent_off"),
                amount_off=one.get("amount_off"),
                currency=one.get("currency") or subscription.currency,
                ends_at=ends_at,
            )
    return None


# --- Stripe's promotion codes -----------------------------------------------------------------


def _take_off(organization: Organization, person: User, code: str) -> Applied:
    held = _held(organization)
    promotion = _usable(organization, held, code)
    try:
        stripe_api.update_subscription(
            held.subscription.stripe_id,
            {"discounts": [{"promotion_code": promotion["id"]}], "proration_behavior": "none"},
            key=f"promo:{uuid4().hex}",
        )
    except StripeRefused as refused:
        raise _refusal("refused", str(refused)) from None
    _record(organization, person, promotion["code"])
    holding.bring_up_to_date(organization, cause="promotion applied")
    held.subscription.refresh_from_db()
    now = clock.now_for(organization)
    return Applied(code=promotion["code"], discount=running(held.subscription, now))


def _held(organization: Organization) -> Holding:
    try:
        return holding.of(organization)
    except NotSubscribed:
        raise NotSubscribed(
            _("Enter the code on the payment page, when you choose a plan."),
            next_action="checkout",
        ) from None


def _usable(organization: Organization, held: Holding, code: str) -> dict[str, Any]:
    """The promotion code at Stripe. Every way in which it cannot be used has its own sentence."""
    if not catalog.current().promotions.stripe_codes or not 0 < len(code) <= _LONGEST_CODE:
        raise _unknown(code)
    now = clock.now_for(organization)
    present = running(held.subscription, now)
    if present is not None:
        raise _another(present, code)
    promotion = stripe_api.find_promotion_code(code)
    if promotion is None:
        raise _unknown(code)
    _check(promotion, held, code)
    return promotion


def _check(promotion: dict[str, Any], held: Holding, code: str) -> None:
    coupon = _coupon(promotion)
    deadline = promotion.get("expires_at") or coupon.get("redeem_by")
    limit = promotion.get("max_redemptions")
    owner = promotion.get("customer")
    name = {"code": code.upper()}
    if deadline is not None and deadline <= timezone.now().timestamp():
        raise _refusal("expired", _("%(code)s has expired.") % name)
    if limit is not None and promotion["times_redeemed"] >= limit:
        raise _refusal("used_up", _("%(code)s was used as often as it may be.") % name)
    if not promotion["active"] or not coupon.get("valid", True):
        raise _refusal("inactive", _("%(code)s is no longer active.") % name)
    if owner and owner != held.subscription.customer_id:
        raise _unknown(code)
    if coupon.get("amount_off") and coupon.get("currency") != held.subscription.currency:
        raise _refusal(
            "currency",
            _("%(code)s is for payments in %(currency)s.")
            % (name | {"currency": str(coupon.get("currency")).upper()}),
        )


def _coupon(promotion: dict[str, Any]) -> dict[str, Any]:
    coupon = (promotion.get("promotion") or {}).get("coupon")
    return coupon if isinstance(coupon, dict) else {}


# --- Our own codes, which credit the customer's balance ---------------------------------------


def _give_credit(organization: Organization, person: User, code: str, credit: Credit) -> Applied:
    account = customers.ensure(organization)
    currency = account.currency or catalog.current().currencies[0]
    price = credit.amounts.get(currency)
    if price is None or account.stripe_customer_id is None:
        raise _refusal(
            "currency",
            _("%(code)s is for payments in %(currency)s.")
            % {"code": code, "currency": ", ".join(credit.amounts).upper()},
        )
    who = str(organization.pk) if credit.once_per == "organization" else "installation"
    payload = {"code": code, "amount": price.amount, "currency": currency}
    if not outbox.put(organization, "mail.credit_added", once_per=f"{code}:{who}", payload=payload):
        raise _refusal("used", _("%(code)s was used already.") % {"code": code})
    stripe_api.credit_customer(
        account.stripe_customer_id,
        amount=price.amount,
        currency=currency,
        description=code,
        key=f"credit:{code}:{who}",
    )
    _record(organization, person, code)
    return Applied(code=code, credit=price.amount, currency=currency)


def _record(organization: Organization, person: User, code: str) -> None:
    audit.record("billing.promotion_applied", organization=organization, actor=person, target=code)


# --- Refusals ---------------------------------------------------------------------------------


def _refusal(reason: str, sentence: str) -> PromotionRefused:
    return PromotionRefused(sentence, field="code", reason=reason)


def _unknown(code: str) -> PromotionRefused:
    return _refusal(
        "unknown",
        _("There is no code “%(code)s”. Check the spelling.") % {"code": code[:_LONGEST_CODE]},
    )


def _another(present: Discount, code: str) -> PromotionRefused:
    if present.code.upper() == code.upper():
        return _refusal("active", _("%(code)s is active already.") % {"code": present.code})
    return _refusal(
        "another_active",
        _("%(code)s is active; one code at a time.") % {"code": present.code},
    )
