"""Packs of prepaid units: bought at Stripe's Checkout, credited once, taken back with the money."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from billing import catalog
from billing.entitlement import access, clock, store
from billing.exceptions import (
    BillingError,
    CurrencyFixed,
    NotConfigured,
    NotOffered,
    StripeRefused,
    StripeUnavailable,
)
from billing.gateway import locks, pack_refunds, stripe_api
from billing.models import EffectivePlan, ExtraPrice, PackPurchase
from billing.signals import credits_settled
from billing.subscription import checkout, customers
from orgs import audit
from orgs.models import Organization, User

logger = structlog.get_logger(__name__)

_PAID: Final = frozenset({"paid", "no_payment_required"})
# Sessions that no webhook told us of are asked about after this long.
_PATIENCE: Final = timedelta(minutes=5)


def start(
    organization: Organization, person: User, pack: str, *, currency: str | None = None
) -> PackPurchase:
    """An open Checkout session for one pack: the same one for the same wish.

    Raises NotOffered, CurrencyFixed, NotConfigured, AccountLocked, PaymentRequired and
    StripeUnavailable; after the last a retry finds the same session.
    """
    access.check_paid_action(organization)
    price = _price(organization, pack, currency or checkout.usual_currency(organization))
    account = customers.ensure(organization)
    if account.stripe_customer_id is None:
        raise NotConfigured(_("Payments are not set up on this installation."))
    return _with_session(_intend(organization, person, price), account.stripe_customer_id)


def offered(effective: EffectivePlan) -> list[ExtraPrice]:
    """What the plan of the moment may buy, in the organization's currency."""
    plan_key = effective.plan.key
    currency = effective.currency or checkout.usual_currency(effective.organization)
    entries = catalog.current().credit_packs
    rows = (
        ExtraPrice.objects.of_catalog(catalog.current().key)
        .of_kind(ExtraPrice.Kind.CREDITS)
        .purchasable()
        .filter(currency=currency)
        .order_by("pk")
    )
    return [row for row in rows if row.key in entries and plan_key in entries[row.key].plans]


def settle(organization: Organization, session_id: str) -> PackPurchase | None:
    """Makes true what Stripe says of this session; None where it is no pack of this organization.

    Return page, webhook and sweeper run the same, in any order and as often as they like.
    """
    purchase: PackPurchase | None = (
        organization.pack_purchases.select_related("price", "organization")
        .filter(session_id=session_id)
        .first()
    )
    if purchase is None or purchase.state == PackPurchase.State.PAID:
        return purchase
    session = stripe_api.retrieve_checkout_session(session_id)
    if session["payment_status"] in _PAID and session["status"] == "complete":
        return _pay(purchase, session)
    if session["status"] == "expired":
        _close(purchase)
        purchase.refresh_from_db(fields=["state"])
    return purchase


def settle_waiting(limit: int = 200) -> int:
    """Those that nobody told us of: the webhook was lost, and nobody came back to the page."""
    waiting = PackPurchase.objects.open().filter(created_at__lte=timezone.now() - _PATIENCE)
    settled = 0
    for purchase in waiting.select_related("organization").order_by("created_at")[:limit]:
        if purchase.session_id is None:
            _close(purchase)
            continue
        try:
            found = settle(purchase.organization, purchase.session_id)
        except BillingError as error:
            logger.warning("packs.settle_failed", purchase=purchase.pk, code=error.code)
            continue
        settled += int(found is not None and found.state == PackPurchase.State.PAID)
    return settled


def _price(organization: Organization, pack: str, currency: str) -> ExtraPrice:
    plan = store.current(organization).plan
    entry = catalog.current().credit_packs.get(pack)
    if entry is None or plan.key not in entry.plans:
        raise NotOffered(
            _("%(plan)s has no pack “%(pack)s”.")
            % {"plan": plan.name, "pack": str(entry.name) if entry else pack},
            pack=pack,
        )
    fixed = checkout.usual_currency(organization)
    if currency.lower() != fixed and _pays_already(organization):
        raise CurrencyFixed(
            _("This workspace pays in %(currency)s. Stripe keeps one currency per customer.")
            % {"currency": fixed.upper()},
            field="currency",
            currency=fixed,
        )
    found: ExtraPrice | None = (
        ExtraPrice.objects.of_catalog(catalog.current().key)
        .of_kind(ExtraPrice.Kind.CREDITS)
        .purchasable()
        .for_terms("", currency)
        .filter(key=pack)
        .first()
    )
    if found is None:
        raise NotConfigured(_("This pack has no price at Stripe yet. Run “catalog apply”."))
    return found


def _pays_already(organization: Organization) -> bool:
    account = getattr(organization, "billing_account", None)
    return bool(account is not None and account.currency)


@transaction.atomic
def _intend(organization: Organization, person: User, price: ExtraPrice) -> PackPurchase:
    """Committed before Stripe is asked, so that a crash can be resumed (B17)."""
    store.lock_account(organization)
    existing = organization.pack_purchases.open().filter(price=price).first()
    if existing is not None and _is_fresh(existing):
        return existing
    if existing is not None:
        _close(existing)
    purchase = PackPurchase.objects.create(organization=organization, person=person, price=price)
    audit.record("billing.pack_ordered", organization=organization, actor=person, target=price.key)
    return purchase


def _is_fresh(purchase: PackPurchase) -> bool:
    """Stripe forgets idempotency keys after a day, and sessions end by themselves."""
    if purchase.session_id is None:
        return timezone.now() - purchase.created_at < timedelta(hours=23)
    now = clock.now_for(purchase.organization)
    return purchase.expires_at is not None and purchase.expires_at > now + timedelta(minutes=1)


def _with_session(purchase: PackPurchase, customer_id: str) -> PackPurchase:
    with transaction.atomic():
        locks.wait_for(f"pack:{purchase.pk}")
        purchase.refresh_from_db(fields=["session_id", "url", "state", "expires_at"])
        if purchase.session_id is None:
            session = stripe_api.create_checkout_session(
                _session_params(purchase, customer_id), key=f"pack:{purchase.pk}"
            )
            purchase.session_id = session["id"]
            purchase.url = session["url"] or ""
            purchase.expires_at = datetime.fromtimestamp(session["expires_at"], tz=UTC)
            purchase.save(update_fields=["session_id", "url", "expires_at"])
    return purchase


def _session_params(purchase: PackPurchase, customer_id: str) -> dict[str, Any]:
    """With an invoice, so that it is among the others, with tax and a PDF."""
    organization, current = purchase.organization, catalog.current()
    home = settings.SITE_URL + reverse("billing:credits-return", args=[organization.slug])
    page = settings.SITE_URL + reverse("billing:settings", args=[organization.slug])
    metadata = {"organization": str(organization.pk), "pack": str(purchase.pk)}
    return {
        "mode": "payment",
        "customer": customer_id,
        "client_reference_id": str(organization.pk),
        "line_items": [{"price": purchase.price.stripe_price_id, "quantity": 1}],
        "invoice_creation": {"enabled": True, "invoice_data": {"metadata": metadata}},
        "success_url": home + "?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": page + "?checkout=cancelled",
        "billing_address_collection": current.checkout.billing_address,
        "customer_update": {"address": "auto", "name": "auto"},
        "automatic_tax": {"enabled": current.tax.automatic and settings.STRIPE_AUTOMATIC_TAX},
        "tax_id_collection": {"enabled": current.tax.collect_ids},
        "locale": organization.language,
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata},
    }


def _pay(purchase: PackPurchase, session: dict[str, Any]) -> PackPurchase:
    organization = purchase.organization
    with transaction.atomic():
        locked: PackPurchase = (
            PackPurchase.objects.select_for_update(of=("self",))
            .select_related("price", "organization")
            .get(pk=purchase.pk)
        )
        if locked.state != PackPurchase.State.PAID:
            locked.state = PackPurchase.State.PAID
            locked.payment_intent_id = _id_of(session.get("payment_intent"))
            locked.amount_paid = session["amount_total"] or 0
            locked.paid_at = clock.now_for(organization)
            locked.save()
            audit.record(
                "billing.pack_bought",
                organization=organization,
                actor=locked.person,
                target=locked.price.key,
                after={"amount": locked.amount_paid, "currency": locked.price.currency},
            )
            credits_settled.send(PackPurchase, purchase=locked)
            pack_refunds.look_at(locked)
    return locked


def _id_of(found: Any) -> str:
    return str(found["id"] if isinstance(found, dict) else found or "")


def _close(purchase: PackPurchase) -> None:
    """Paid wins over expired. A session that is still open at Stripe is ended there."""
    if purchase.session_id is not None:
        try:
            stripe_api.expire_checkout_session(purchase.session_id)
        except (StripeRefused, StripeUnavailable):
            logger.info("packs.session_ended_already", purchase=purchase.pk)
    PackPurchase.objects.open().filter(pk=purchase.pk).update(state=PackPurchase.State.EXPIRED)
