"""From the click to the settled session. Nothing from the client is trusted but the wish itself.

Stripe's pages: https://docs.stripe.com/payments/checkout/fulfillment (webhook and return page run
the same settlement), https://docs.stripe.com/payments/checkout/limit-subscriptions (one each).
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import structlog
from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from billing import catalog
from billing.entitlement import access, store
from billing.exceptions import (
    AlreadySubscribed,
    BillingError,
    ContractOnly,
    CurrencyFixed,
    NotConfigured,
    OrderReplaced,
    StripeRefused,
    StripeUnavailable,
    UnknownPlan,
)
from billing.gateway import locks, stripe_api
from billing.gateway.webhooks import processing
from billing.models import BillingAccount, CheckoutIntent, PlanPrice, Source, SubscriptionPlan
from billing.subscription import audience, customers, items, opening, seating, trial_rules
from orgs import audit
from orgs.exceptions import Unprocessable
from orgs.models import Organization, User

logger = structlog.get_logger(__name__)

# Stripe forgets idempotency keys after 24 hours: an older intent without a session is not resumed.
_RESUMABLE: Final = timedelta(hours=23)
LONGEST_WAIT: Final = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What somebody wishes to buy. `seats` None means as many as the plan starts with."""

    plan_key: str
    interval: str = "month"
    currency: str = "usd"
    seats: int | None = None


State = Literal["active", "pending", "awaiting_bank", "open", "expired"]


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What the return page may say. `overdue`: it took longer than anyone should wait."""

    state: State
    plan: SubscriptionPlan
    overdue: bool = False


# --- Starting ---------------------------------------------------------------------------------


def start(organization: Organization, person: User, order: Order) -> CheckoutIntent:
    """An open Checkout session for this order: the same one for the same wish (B1, B2).

    Raises UnknownPlan, ContractOnly, Unprocessable (seats), PlanNotForYou, AccountLocked,
    PaymentRequired, AlreadySubscribed, CurrencyFixed, OrderReplaced, NotConfigured,
    StripeUnavailable; after the last a retry finds the same session.
    """
    opening.check()
    price, seats = quote(order)
    audience.check(organization, order.plan_key)
    seating.check(organization, price.plan, seats)
    account = customers.ensure(organization)
    if account.stripe_customer_id is None:
        raise NotConfigured(_("Payments are not set up on this installation."))
    intent, replaced = _intend(organization, person, price, seats)
    if replaced is not None and not _end_session(replaced):
        close(intent, CheckoutIntent.State.EXPIRED)
        raise _already_subscribed()
    return _with_session(intent, account)


def quote(order: Order, *, by_contract: bool = False) -> tuple[PlanPrice, int]:
    """Maps plan, interval and currency to our price row, and checks the seats (B11).

    `by_contract` where the catalogue opens a plan that is otherwise sold by people.
    """
    plan = (
        SubscriptionPlan.objects.of_catalog(catalog.current().key)
        .with_key(order.plan_key)
        .on_sale()
        .first()
    )
    if plan is None or plan.kind == SubscriptionPlan.Kind.FREE:
        raise UnknownPlan(
            _("There is no plan “%(plan)s” to buy.") % {"plan": order.plan_key}, field="tier"
        )
    if plan.kind == SubscriptionPlan.Kind.CONTRACT and not by_contract:
        contact = str(catalog.current().contacts.sales)
        raise ContractOnly(
            _("%(plan)s is agreed by contract. Write to %(contact)s.")
            % {"plan": plan.name, "contact": contact},
            field="tier",
            sales_contact=contact,
        )
    return _price(plan, order), seats_for(plan, order.seats)


def usual_currency(organization: Organization) -> str:
    """The one that its customer pays in (B15), else the first that the catalogue sells in."""
    account = BillingAccount.objects.filter(organization=organization).first()
    return (account.currency if account else "") or catalog.current().currencies[0]


def _price(plan: SubscriptionPlan, order: Order) -> PlanPrice:
    price = plan.prices.on_sale().for_terms(order.interval, order.currency).first()
    if price is None:
        sold = sorted({(row.interval, row.currency) for row in plan.prices.on_sale()})
        known_interval = any(order.interval == interval for interval, _currency in sold)
        raise Unprocessable(
            _("%(plan)s is not sold per %(interval)s in %(currency)s.")
            % {"plan": plan.name, "interval": order.interval, "currency": order.currency.upper()},
            field="currency" if known_interval else "interval",
            allowed=[f"{interval}/{currency}" for interval, currency in sold],
        )
    if not price.stripe_price_id:
        raise NotConfigured(_("This plan has no price at Stripe yet. Run “catalog apply”."))
    return price


def seats_for(plan: SubscriptionPlan, wanted: int | None) -> int:
    """As many as wanted, else as the plan starts with. Raises Unprocessable out of its range."""
    seats = plan.min_seats if wanted is None else wanted
    largest = plan.max_seats
    if not plan.per_seat and seats != 1:
        raise Unprocessable(
            _("%(plan)s is not sold per seat: seats must be 1.") % {"plan": plan.name},
            field="seats", minimum=1, maximum=1,
        )  # fmt: skip
    if seats < plan.min_seats or (largest is not None and seats > largest):
        raise Unprocessable(
            _("Seats must be between %(least)s and %(most)s.")
            % {"least": plan.min_seats, "most": largest if largest is not None else "∞"},
            field="seats", minimum=plan.min_seats, maximum=largest,
        )  # fmt: skip
    return seats


@transaction.atomic
def _intend(
    organization: Organization, person: User, price: PlanPrice, seats: int
) -> tuple[CheckoutIntent, CheckoutIntent | None]:
    """The intent is committed before Stripe is asked, so that a crash can be resumed (B17)."""
    account = store.lock_account(organization)
    access.check_owes_nothing(organization)
    _refuse_second_subscription(organization)
    if account.currency and account.currency != price.currency:
        raise CurrencyFixed(
            _("This workspace pays in %(currency)s. Stripe keeps one currency per customer.")
            % {"currency": account.currency.upper()},
            field="currency",
            currency=account.currency,
        )
    existing = organization.checkout_intents.open().select_related("price").first()
    if existing is not None and _is_same(existing, price, seats):
        return existing, None
    if existing is not None:
        existing.state = CheckoutIntent.State.EXPIRED
        existing.save(update_fields=["state"])
    intent = CheckoutIntent.objects.create(
        organization=organization, person=person, price=price, seats=seats
    )
    audit.record(
        "billing.checkout_started",
        organization=organization,
        actor=person,
        target=price.plan.key,
        after={"plan": price.plan.key, "interval": price.interval,
               "currency": price.currency, "seats": seats},
    )  # fmt: skip
    return intent, existing


def _refuse_second_subscription(organization: Organization) -> None:
    if organization.subscriptions.standing().exists():
        raise _already_subscribed()


def _already_subscribed() -> AlreadySubscribed:
    return AlreadySubscribed(
        _("This workspace already has a subscription. Change it under “Manage billing”."),
        next_action="portal",
    )


def _is_same(intent: CheckoutIntent, price: PlanPrice, seats: int) -> bool:
    now = timezone.now()
    if (intent.price_id, intent.seats) != (price.pk, seats):
        return False
    if intent.session_id is None:
        return now - intent.created_at < _RESUMABLE
    return intent.expires_at is None or intent.expires_at > now + timedelta(minutes=1)


def _with_session(intent: CheckoutIntent, account: BillingAccount) -> CheckoutIntent:
    """Parallel callers wait here for the first one's session instead of asking Stripe as well."""
    with transaction.atomic():
        _lock(intent)
        if intent.session_id is None:
            if intent.state != CheckoutIntent.State.OPEN:
                raise OrderReplaced(_("Another order was started meanwhile. Please try again."))
            params = _session_params(intent, account)
            session = stripe_api.create_checkout_session(params, key=_key(intent, params))
            intent.session_id = session["id"]
            intent.url = session["url"] or ""
            intent.expires_at = datetime.fromtimestamp(session["expires_at"], tz=UTC)
            intent.save(update_fields=["session_id", "url", "expires_at"])
    return intent


def _lock(intent: CheckoutIntent) -> None:
    locks.wait_for(f"checkout:{intent.pk}")
    intent.refresh_from_db(fields=["session_id", "url", "state", "expires_at"])


def _key(intent: CheckoutIntent, params: dict[str, Any]) -> str:
    """The parameters are part of it: Stripe refuses a key that comes with others (B16).

    A session whose answer was lost before they changed has an address that nobody ever saw.
    """
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
    return f"checkout:{intent.pk}:{digest[:16]}"


def _session_params(intent: CheckoutIntent, account: BillingAccount) -> dict[str, Any]:
    """`payment_method_types` is never passed: all that the Stripe account offers works."""
    organization = intent.organization
    current = catalog.current()
    home = settings.SITE_URL + reverse("billing:return", args=[organization.slug])
    page = settings.SITE_URL + reverse("billing:settings", args=[organization.slug])
    metadata = {"organization": str(organization.pk), "intent": str(intent.pk)}
    return {
        "mode": "subscription",
        "customer": account.stripe_customer_id,
        "client_reference_id": str(organization.pk),
        "line_items": [
            {"price": intent.price.stripe_price_id, "quantity": intent.seats},
            *items.at_checkout(intent.price),
        ],
        "success_url": home + "?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": page + "?checkout=cancelled",
        "billing_address_collection": current.checkout.billing_address,
        "customer_update": {"address": "auto", "name": "auto"},
        "automatic_tax": {"enabled": current.tax.automatic and settings.STRIPE_AUTOMATIC_TAX},
        "tax_id_collection": {"enabled": current.tax.collect_ids},
        "allow_promotion_codes": current.checkout.promotion_codes,
        "locale": organization.language,
        "metadata": metadata,
        "subscription_data": {"metadata": metadata},
    } | _trial_params(intent, metadata)


def _trial_params(intent: CheckoutIntent, metadata: dict[str, str]) -> dict[str, Any]:
    """Where the catalogue lets Stripe run the trial, and this person may still have one."""
    person = intent.person
    plan_key = intent.price.plan.key
    trial = trial_rules.of_stripe(intent.organization, person, plan_key) if person else None
    if trial is None:
        return {}
    ending = {"missing_payment_method": trial.without_card}
    return {
        "payment_method_collection": "always" if trial.card else "if_required",
        "subscription_data": {
            "metadata": metadata,
            "trial_period_days": trial.days,
            "trial_settings": {"end_behavior": ending},
        },
    }


def _end_session(replaced: CheckoutIntent) -> bool:
    """The second tab's plan wins, unless the first one's was paid meanwhile: then False (B2)."""
    with transaction.atomic():
        _lock(replaced)  # the first tab may still be waiting for its session
    if replaced.session_id is None:
        return True
    try:
        stripe_api.expire_checkout_session(replaced.session_id)
    except StripeRefused:
        settled = settle(replaced.organization, replaced.session_id)
        return settled is None or settled.state in {"expired", "open"}
    except StripeUnavailable:
        # The unpaid session stays open at Stripe; a second payment is caught as a duplicate (B3).
        logger.warning("checkout.expire_failed", intent=replaced.pk)
    return True


# --- Settling ---------------------------------------------------------------------------------


def settle(organization: Organization, session_id: str) -> Settled | None:
    """Make true what Stripe says of this session; None where it is not this organization's (B14).

    The return page and the webhook may run at once: both resync the customer under one lock (B5).
    """
    intent = (
        CheckoutIntent.objects.of(organization)
        .select_related("price__plan", "organization")
        .filter(session_id=session_id)
        .first()
    )
    if intent is None:
        return None
    if intent.state == CheckoutIntent.State.COMPLETED and _is_on(intent.organization, intent):
        return Settled(state="active", plan=intent.price.plan)
    try:
        session = stripe_api.retrieve_checkout_session(session_id)
    except BillingError:
        return _pending(intent)
    return _settle_session(intent, session)


def _settle_session(intent: CheckoutIntent, session: dict[str, Any]) -> Settled:
    plan = intent.price.plan
    if session["status"] == "expired":
        close(intent, CheckoutIntent.State.EXPIRED)
        return Settled(state="expired", plan=plan)
    if session["status"] != "complete":
        return Settled(state="open", plan=plan)
    close(intent, CheckoutIntent.State.COMPLETED)
    synced = _sync(intent.organization, cause=session["id"])
    if _is_on(intent.organization, intent):
        return Settled(state="active", plan=plan)
    if synced and session["payment_status"] == "unpaid":
        return Settled(state=_bank_state(intent.organization, session), plan=plan)
    return _pending(intent)


def _sync(organization: Organization, *, cause: str) -> bool:
    """False while another worker has the customer or Stripe fails: then the page asks again."""
    try:
        synced = processing.resync(organization.billing_account, cause=cause)
    except BillingError as error:
        logger.warning("checkout.sync_failed", session=cause, code=error.code)
        return False
    if not synced:
        logger.info("checkout.customer_busy", session=cause)
    return synced


def _bank_state(organization: Organization, session: dict[str, Any]) -> State:
    """A debit that failed leaves its subscription ended, or its first invoice unpaid (B7)."""
    subscription = organization.subscriptions.filter(stripe_id=session["subscription"])
    waits = subscription.live().exclude(status__in=["past_due", "unpaid"])
    return "awaiting_bank" if waits.exists() else "expired"


def _is_on(organization: Organization, intent: CheckoutIntent) -> bool:
    effective = store.current(organization)
    return effective.source == Source.STRIPE and effective.plan_id == intent.price.plan_id


def _pending(intent: CheckoutIntent) -> Settled:
    since = intent.completed_at or intent.created_at
    overdue = timezone.now() - since > LONGEST_WAIT
    return Settled(state="pending", plan=intent.price.plan, overdue=overdue)


def close(intent: CheckoutIntent, state: str) -> None:
    """Completed wins over expired: a payment cannot be un-made by a late event."""
    changed = CheckoutIntent.objects.filter(pk=intent.pk).exclude(
        state__in=[state, CheckoutIntent.State.COMPLETED]
    )
    completed = timezone.now() if state == CheckoutIntent.State.COMPLETED else None
    if changed.update(state=state, completed_at=completed):
        intent.state, intent.completed_at = state, completed


def close_overdue(intent: CheckoutIntent) -> None:
    """No webhook told us how the session ended: ask, or expire what never had one."""
    if intent.session_id is None:
        close(intent, CheckoutIntent.State.EXPIRED)
        return
    settle(intent.organization, intent.session_id)
