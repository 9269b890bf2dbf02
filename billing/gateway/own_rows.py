"""From the mirror's JSON to our own rows: subscription, invoice, payment method, account.

Rows are rewritten from the mirror, never patched, so repetition and order do not matter. Terminal
states are Stripe's: a canceled subscription never comes back there, so it never does here (A24).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.utils import timezone

from billing.gateway import mirror, pack_refunds, stripe_api
from billing.gateway.stripe_api import Missing
from billing.models import BillingAccount, Invoice, PaymentMethod, PlanPrice, Subscription
from billing.models.subscription import ENDED_STATUSES
from orgs import marks

logger = structlog.get_logger(__name__)
Json = dict[str, Any]

# Mirror rows are picked by dj-stripe's own time stamp; the margin covers skewed application clocks.
_MARGIN = timedelta(hours=1)
_KEPT_LINES = 20
# Known from charges, disputes and our own staff; an invoice's JSON does not name them.
_NOT_OF_THE_INVOICE = {"amount_refunded", "disputed", "dispute_status", "dispute_settled_at"}


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What a copy touched; `ever_live` counts subscriptions that Stripe has not ended."""

    live_subscriptions: int


def copy(account: BillingAccount, *, everything: bool = False) -> Copied:
    """Rewrite this customer's rows from the mirror. The caller holds the customer's lock."""
    customer_id = account.stripe_customer_id
    if customer_id is None:
        return Copied(live_subscriptions=0)
    since = None if everything or account.synced_at is None else account.synced_at - _MARGIN
    started = timezone.now()
    customer = mirror.customer(customer_id) or {}
    _copy_account(account, customer)
    _copy_subscriptions(account, list(mirror.subscriptions(customer_id)), complete=everything)
    _copy_invoices(account, list(mirror.invoices(customer_id, changed_since=since)))
    _end_attempts(account)
    charges = list(mirror.charges(customer_id, changed_since=since))
    _copy_refunds(account, charges)
    pack_refunds.copy(account, charges)
    _copy_disputes(account, changed_since=since)
    _copy_payment_methods(account, customer, mirror.payment_methods(customer_id))
    account.synced_at = started
    account.customer_deleted_at = None  # Stripe never revives one: the tombstone was an error
    account.save(
        update_fields=[
            "currency", "frozen_at", "test_clock_id", "synced_at", "customer_deleted_at"
        ]
    )  # fmt: skip
    return Copied(live_subscriptions=account.organization.subscriptions.live().count())


def tombstone(account: BillingAccount) -> None:
    """The customer is gone at Stripe: whatever it had has ended (A23)."""
    now = timezone.now()
    account.customer_deleted_at = account.customer_deleted_at or now
    account.synced_at = now
    account.save(update_fields=["customer_deleted_at", "synced_at"])
    _end(account.organization.subscriptions.live())
    account.organization.payment_methods.all().delete()


def end_subscription(stripe_id: str) -> None:
    """Stripe no longer knows it, so it is as good as cancelled (A23)."""
    _end(Subscription.objects.live().filter(stripe_id=stripe_id))


def _end(subscriptions: Any) -> None:
    subscriptions.update(status="canceled", ended_at=timezone.now())


def _copy_account(account: BillingAccount, customer: Json) -> None:
    account.currency = customer.get("currency") or account.currency
    # Ours is known from the start; the mirror may not have heard of the customer yet.
    account.test_clock_id = customer.get("test_clock") or account.test_clock_id
    if account.test_clock_id:
        clock = stripe_api.retrieve_test_clock(account.test_clock_id)
        frozen = instant(clock.get("frozen_time"))
        # A test clock only moves forward; an older answer is a late one.
        account.frozen_at = max(filter(None, [account.frozen_at, frozen]), default=None)


def _copy_subscriptions(account: BillingAccount, found: list[Json], *, complete: bool) -> None:
    """`complete` after a full fetch: then what is missing has gone at Stripe too."""
    known = {row.stripe_id: row for row in account.organization.subscriptions.all()}
    rows = []
    for data in found:
        row = Subscription(organization_id=account.organization_id, **subscription_fields(data))
        row.discounts = _discounts(row, known.get(row.stripe_id))
        row.scheduled = _scheduled(data)
        row.pending_invoice_id = _pending_invoice(data)
        rows.append(row)
    _find_plans(rows)
    Subscription.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["stripe_id"],
        update_fields=_updatable(Subscription),
    )
    if complete:
        listed = [data["id"] for data in found]
        _end(account.organization.subscriptions.live().exclude(stripe_id__in=listed))


def _find_plans(rows: list[Subscription]) -> None:
    """With packs beside it, the item that carries a plan of ours is the base."""
    mixed = [row for row in rows if sum(not item["metered"] for item in row.items) > 1]
    named = {item["price"] for row in mixed for item in row.items}
    plans = set(
        PlanPrice.objects.filter(stripe_price_id__in=named).values_list(
            "stripe_price_id", flat=True
        )
    ) if named else set()  # fmt: skip
    for row in mixed:
        base = next((item for item in row.items if item["price"] in plans), None)
        if base is not None:
            row.price_id, row.interval = base["price"], base["interval"]
            row.quantity = max(base["quantity"], 1)


def _discounts(row: Subscription, known: Subscription | None) -> list[Json]:
    """Stripe names discounts by id; what they are is asked once, of an ended subscription too:
    whether we heard of it before or after its end must not show."""
    ids = [one["id"] for one in row.discounts]
    if known is not None and [one["id"] for one in known.discounts] == ids:
        return list(known.discounts)
    if not ids:
        return []
    try:
        return [discount_fields(one) for one in stripe_api.fetch_discounts(row.stripe_id)]
    except Missing:
        return []


def _scheduled(data: Json) -> Json:
    schedule_id = reference(data.get("schedule"))
    if not schedule_id or data["status"] in ENDED_STATUSES:
        return {}
    try:
        return schedule_fields(stripe_api.retrieve_schedule(schedule_id))
    except Missing:
        return {}


def _pending_invoice(data: Json) -> str:
    """The invoice that a pending update waits for; Stripe applies the update when it is paid."""
    return reference(data.get("latest_invoice")) if data.get("pending_update") else ""


def _copy_invoices(account: BillingAccount, found: list[Json]) -> None:
    gone = [data["id"] for data in found if data.get("deleted")]
    rows = [
        Invoice(organization_id=account.organization_id, **invoice_fields(data))
        for data in found
        if not data.get("deleted")
    ]
    for row in rows:
        row.needs_confirmation = _needs_confirmation(row)
    Invoice.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["stripe_id"],
        update_fields=_updatable(Invoice, leaving=_NOT_OF_THE_INVOICE),
    )
    account.organization.invoices.filter(stripe_id__in=gone).delete()


def _end_attempts(account: BillingAccount) -> None:
    """Stripe collects nothing more for a subscription that has ended; the invoices do not say so
    themselves, and no event of theirs need follow."""
    ended = account.organization.subscriptions.filter(status__in=ENDED_STATUSES)
    account.organization.invoices.filter(
        status=Invoice.Status.OPEN,
        next_payment_attempt__isnull=False,
        subscription_id__in=ended.values("stripe_id"),
    ).update(next_payment_attempt=None)


def _needs_confirmation(row: Invoice) -> bool:
    """An invoice does not say so; its payment does, and only a refused one is worth asking."""
    if row.status != Invoice.Status.OPEN or not row.attempt_count or not row.payment_intent_id:
        return False
    try:
        return stripe_api.payment_status(row.payment_intent_id) == "requires_action"
    except Missing:
        return False


def _copy_refunds(account: BillingAccount, charges: list[Json]) -> None:
    """Refunds hang on charges; the payment intent leads from them to the invoice."""
    by_intent = {data["payment_intent"]: data for data in charges if data.get("payment_intent")}
    if not by_intent:
        return
    for invoice in account.organization.invoices.filter(payment_intent_id__in=by_intent):
        refunded = by_intent[invoice.payment_intent_id].get("amount_refunded") or 0
        if invoice.amount_refunded != refunded:
            invoice.amount_refunded = refunded
            invoice.save(update_fields=["amount_refunded"])


def _copy_disputes(account: BillingAccount, *, changed_since: datetime | None) -> None:
    """A dispute comes weeks after its charge, which does not change with it."""
    paid = account.organization.invoices.exclude(payment_intent_id="")
    intents = list(paid.values_list("payment_intent_id", flat=True))
    statuses = mirror.dispute_statuses(intents, changed_since=changed_since) if intents else {}
    if not statuses:
        return
    for invoice in paid.filter(payment_intent_id__in=statuses):
        status = statuses[invoice.payment_intent_id]
        if invoice.dispute_status == status:
            continue
        invoice.dispute_status = status
        invoice.disputed = status not in mirror.HARMLESS_DISPUTES
        invoice.save(update_fields=["dispute_status", "disputed"])
        if invoice.disputed:
            logger.error("alert.payment_disputed", invoice=invoice.stripe_id, status=status)


def _copy_payment_methods(account: BillingAccount, customer: Json, found: Iterable[Json]) -> None:
    default = (customer.get("invoice_settings") or {}).get("default_payment_method")
    subscribed = (
        account.organization.subscriptions.live()
        .exclude(default_payment_method_id="")
        .order_by("-created_at")
        .values_list("default_payment_method_id", flat=True)
        .first()
    )
    default_id = subscribed or reference(default)
    rows = [
        PaymentMethod(
            organization_id=account.organization_id,
            is_default=data["id"] == default_id,
            **payment_method_fields(data),
        )
        for data in found
        if data.get("customer")
    ]
    PaymentMethod.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["stripe_id"],
        update_fields=_updatable(PaymentMethod),
    )
    kept = [row.stripe_id for row in rows]
    account.organization.payment_methods.exclude(stripe_id__in=kept).delete()


def _updatable(model: Any, leaving: set[str] | None = None) -> list[str]:
    fixed = {"id", "stripe_id", "organization"} | (leaving or set())
    return [
        field.name
        for field in model._meta.concrete_fields  # noqa: SLF001
        if field.name not in fixed
    ]


# --- Shapes (pure) ----------------------------------------------------------------------------


def subscription_fields(data: Json) -> Json:
    """Current API shape: the period sits on the items (STRIPE: 2025-03-31.basil and later)."""
    items = [_item(item) for item in (data.get("items") or {}).get("data", [])]
    base = next((item for item in items if not item["metered"]), items[0] if items else None)
    raw: Json = next(iter((data.get("items") or {}).get("data", [])), {})
    return {
        "stripe_id": data["id"],
        "customer_id": reference(data.get("customer")),
        "status": data["status"],
        "livemode": bool(data.get("livemode")),
        "currency": data.get("currency") or "",
        "interval": base["interval"] if base else "",
        "price_id": base["price"] if base else "",
        "quantity": max(base["quantity"], 1) if base else 1,
        "items": items,
        "collection_method": data.get("collection_method") or "charge_automatically",
        "paused": data.get("pause_collection") is not None or data["status"] == "paused",
        "created_at": instant(data.get("created")) or timezone.now(),
        "current_period_start": instant(raw.get("current_period_start")),
        "current_period_end": instant(raw.get("current_period_end")),
        "cancel_at_period_end": bool(data.get("cancel_at_period_end")),
        "cancel_at": instant(data.get("cancel_at")),
        "canceled_at": instant(data.get("canceled_at")),
        "ended_at": instant(data.get("ended_at")),
        "trial_end": instant(data.get("trial_end")),
        "default_payment_method_id": reference(data.get("default_payment_method")),
        "discounts": [{"id": reference(found)} for found in data.get("discounts") or []],
    }


def discount_fields(data: Json) -> Json:
    """From a discount with its coupon and promotion code expanded."""
    coupon = (data.get("source") or {}).get("coupon")
    coupon = coupon if isinstance(coupon, dict) else {"id": coupon}
    promotion = data.get("promotion_code")
    starts_at, ends_at = instant(data.get("start")), instant(data.get("end"))
    return {
        "id": data["id"],
        "code": promotion["code"] if isinstance(promotion, dict) else "",
        "coupon": coupon.get("name") or coupon.get("id") or "",
        "percent_off": coupon.get("percent_off"),
        "amount_off": coupon.get("amount_off"),
        "currency": coupon.get("currency"),
        "once": coupon.get("duration") == "once",
        "starts_at": starts_at.isoformat() if starts_at else None,
        "ends_at": ends_at.isoformat() if ends_at else None,
    }


def schedule_fields(data: Json) -> Json:
    """The next phase of an open schedule; a schedule without one changes nothing."""
    current = data.get("current_phase")
    if current is None:
        return {}
    later = [one for one in data["phases"] if one["start_date"] >= current["end_date"]]
    found: Json = {"schedule": data["id"]}
    if not later:
        return found
    phase = min(later, key=lambda one: one["start_date"])
    item = next((one for one in phase["items"] if one.get("quantity")), phase["items"][0])
    starts = datetime.fromtimestamp(phase["start_date"], tz=UTC)
    return found | {
        "at": starts.isoformat(),
        "price": reference(item["price"]),
        "quantity": item.get("quantity") or 1,
        "items": [
            {"price": reference(one["price"]), "quantity": one.get("quantity") or 0}
            for one in phase["items"]
        ],
    }


def _item(item: Json) -> Json:
    price = item.get("price") or {}
    recurring = price.get("recurring") or {}
    return {
        "id": item["id"],
        "price": price.get("id", ""),
        "quantity": item.get("quantity") or 0,
        "metered": recurring.get("usage_type") == "metered",
        "interval": recurring.get("interval", ""),
    }


def invoice_fields(data: Json) -> Json:
    transitions = data.get("status_transitions") or {}
    parent = (data.get("parent") or {}).get("subscription_details") or {}
    lines = (data.get("lines") or {}).get("data", [])
    service = _service_periods(data, lines)
    return {
        "stripe_id": data["id"],
        "customer_id": reference(data.get("customer")),
        "subscription_id": reference(parent.get("subscription")),
        "payment_intent_id": _payment_intent(data),
        "number": data.get("number") or "",
        "status": data.get("status") or "draft",
        "billing_reason": data.get("billing_reason") or "",
        "collection_method": data.get("collection_method") or "charge_automatically",
        "currency": data["currency"],
        "subtotal": data.get("subtotal") or 0,
        "tax": sum(tax.get("amount") or 0 for tax in data.get("total_taxes") or []),
        "total": data.get("total") or 0,
        "amount_due": data.get("amount_due") or 0,
        "amount_paid": data.get("amount_paid") or 0,
        "amount_remaining": data.get("amount_remaining") or 0,
        "lines": [_line(line) for line in lines[:_KEPT_LINES]],
        "created_at": instant(data.get("created")) or timezone.now(),
        "period_start": instant(min((p["start"] for p in service), default=None)),
        "period_end": instant(max((p["end"] for p in service), default=None)),
        "finalized_at": instant(transitions.get("finalized_at")),
        "due_date": instant(data.get("due_date")),
        "paid_at": instant(transitions.get("paid_at")),
        "attempt_count": data.get("attempt_count") or 0,
        "next_payment_attempt": instant(data.get("next_payment_attempt")),
        "hosted_url": data.get("hosted_invoice_url") or "",
        "pdf_url": data.get("invoice_pdf") or "",
    }


def _service_periods(data: Json, lines: list[Json]) -> list[Json]:
    """A renewal covers what is paid in advance; usage of the period that is over comes with it."""
    periods = [line["period"] for line in lines if line.get("period")]
    if data.get("billing_reason") != "subscription_cycle":
        return periods
    ahead = [period for period in periods if period["start"] >= (data.get("period_end") or 0)]
    return ahead or periods


def _line(line: Json) -> Json:
    return {
        "description": (line.get("description") or "")[:200],
        "amount": line.get("amount") or 0,
        "quantity": line.get("quantity"),
    }


def _payment_intent(invoice: Json) -> str:
    payments = (invoice.get("payments") or {}).get("data", [])
    intents = [(p.get("payment") or {}).get("payment_intent") for p in payments]
    return next((reference(found) for found in intents if found), "")


def payment_method_fields(data: Json) -> Json:
    kind = data["type"]
    details = data.get(kind) or {}
    return {
        "stripe_id": data["id"],
        "customer_id": reference(data.get("customer")),
        "type": kind,
        "brand": details.get("brand") or details.get("bank_name") or "",
        "last4": details.get("last4") or "",
        "exp_month": details.get("exp_month"),
        "exp_year": details.get("exp_year"),
        "card_mark": marks.of("card", details.get("fingerprint") or ""),
    }


def reference(found: Any) -> str:
    """A Stripe reference as an id: absent, a plain id, or the expanded object."""
    if isinstance(found, dict):
        found = found.get("id")
    return found or ""


def instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)
