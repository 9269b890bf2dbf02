"""Every call to Stripe: one client, one timeout, our idempotency keys, our error words.

Idempotency keys are remembered by Stripe for 24 hours, so callers put the identity of the intent
into them and read before they write again later (B16, B17).
"""

import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

import stripe
import structlog
from django.conf import settings

from billing.catalog.shop import PriceDraft, ProductDraft, ShopMeter, ShopPrice, ShopProduct
from billing.exceptions import BillingError, NotConfigured, StripeRefused, StripeUnavailable
from billing.gateway.counted import STRIPE_SECONDS

logger = structlog.get_logger(__name__)

Json = dict[str, Any]


class Missing(StripeRefused):
    """Stripe does not know the object: deleted, or of another account or mode."""

    status = 404
    code = "stripe_missing"


class KeyReused(StripeRefused):
    """The idempotency key came with other parameters before: the first request did arrive (B16)."""

    status = 409
    code = "stripe_key_reused"


class CardDeclined(StripeRefused):
    """The bank said no, or wants its customer to confirm; nothing was changed."""

    status = 402
    code = "card_declined"

    @property
    def wants_confirmation(self) -> bool:
        """3-D Secure: the payer has to be present."""
        return self.extra.get("decline_code") in _WANTS_CONFIRMATION


_WANTS_CONFIRMATION = frozenset(
    {
        "authentication_required",
        "invoice_payment_intent_requires_action",
        "payment_intent_action_required",
        "subscription_payment_intent_requires_action",
    }
)


def is_configured() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


@lru_cache(maxsize=4)
def _client(key: str, host: str, version: str, timeout: float) -> stripe.StripeClient:
    addresses: Any = {"api": host, "meter_events": host, "files": host} if host else {}
    return stripe.StripeClient(
        key,
        stripe_version=version,
        base_addresses=addresses,
        max_network_retries=1,
        http_client=stripe.RequestsClient(timeout=timeout),
    )


def client() -> stripe.StripeClient:
    """The one client. Raises NotConfigured where the installation has no key."""
    if not is_configured():
        raise NotConfigured("Payments are not set up on this installation.")
    return _client(
        settings.STRIPE_SECRET_KEY,
        settings.STRIPE_SIMULATOR_URL,
        settings.STRIPE_API_VERSION,
        settings.STRIPE_TIMEOUT_SECONDS,
    )


def configure_module() -> None:
    """dj-stripe calls the SDK's module-level API: same timeout, same retries, same version."""
    stripe.default_http_client = stripe.RequestsClient(timeout=settings.STRIPE_TIMEOUT_SECONDS)
    stripe.max_network_retries = 1
    stripe.api_version = settings.STRIPE_API_VERSION
    if settings.STRIPE_SIMULATOR_URL:
        stripe.api_base = settings.STRIPE_SIMULATOR_URL


@contextmanager
def translated(call: str) -> Iterator[None]:
    """Stripe's exceptions as ours, each call counted; the original is logged without its body."""
    began, outcome = time.monotonic(), "ok"
    try:
        with _as_ours(call):
            yield
    except BillingError as error:
        outcome = error.code
        raise
    finally:
        STRIPE_SECONDS.labels(call, outcome).observe(time.monotonic() - began)


@contextmanager
def _as_ours(call: str) -> Iterator[None]:
    try:
        yield
    except stripe.InvalidRequestError as error:
        logger.warning("stripe.refused", call=call, code=error.code, param=error.param)
        kind = Missing if error.code == "resource_missing" else StripeRefused
        raise kind(error.user_message or "Stripe refused the request.") from None
    except stripe.IdempotencyError:
        logger.warning("stripe.key_reused", call=call)
        raise KeyReused("Stripe knows this request with other parameters.") from None
    except stripe.CardError as error:
        raise CardDeclined(
            error.user_message or "The card was declined.", decline_code=error.code
        ) from None
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        logger.error("stripe.key_refused", call=call, code=error.code)  # noqa: TRY400  no key text
        raise NotConfigured("Stripe does not accept this installation's key.") from None
    except (stripe.APIConnectionError, stripe.RateLimitError, stripe.APIError) as error:
        logger.warning("stripe.unavailable", call=call, http_status=error.http_status)
        raise _unavailable() from None
    except stripe.StripeError as error:
        logger.warning("stripe.error", call=call, code=error.code)
        raise BillingError("Stripe could not do this.") from None


def _unavailable() -> StripeUnavailable:
    return StripeUnavailable(
        "Stripe does not answer right now. Nothing was charged; please try again in a minute.",
        headers={"Retry-After": "30"},
    )


def _json(found: stripe.StripeObject) -> Json:
    return found.to_dict()


# --- Customers and clocks -------------------------------------------------------------------


def create_test_clock(*, frozen_time: int, name: str, key: str) -> Json:
    """A clock of one customer's own (test mode only). `frozen_time` is seconds since the epoch."""
    with translated("test_clocks.create"):
        return _json(
            client().v1.test_helpers.test_clocks.create(
                {"frozen_time": frozen_time, "name": name[:300]}, {"idempotency_key": key}
            )
        )


def retrieve_test_clock(clock_id: str) -> Json:
    with translated("test_clocks.retrieve"):
        return _json(client().v1.test_helpers.test_clocks.retrieve(clock_id))


def create_customer(params: Mapping[str, Any], *, key: str) -> Json:
    with translated("customers.create"):
        return _json(client().v1.customers.create(cast(Any, params), {"idempotency_key": key}))


def delete_customer(customer_id: str) -> None:
    """For good: its subscriptions end, its payment methods go, its invoices stay."""
    with translated("customers.delete"):
        client().v1.customers.delete(customer_id)


def update_customer(customer_id: str, params: Mapping[str, Any]) -> Json:
    with translated("customers.update"):
        return _json(client().v1.customers.update(customer_id, cast(Any, params)))


def find_customer(
    organization_id: str, *, since: int, on_clock: bool, not_in: Container[str] = ()
) -> Json | None:
    """The customer that carries our organization id, when its idempotency key is of no use (B16).

    `since` in epoch seconds. Stripe lists customers on a test clock only under that clock's id; our
    clocks carry the organization's id as their name.
    """
    filters: list[Json] = [{}]
    if on_clock:
        filters = [{"test_clock": clock} for clock in _clocks_named(organization_id)]
    with translated("customers.list"):
        for chosen in filters:
            params: Any = {"limit": 100, "created": {"gte": since}, **chosen}
            for customer in map(_json, client().v1.customers.list(params).auto_paging_iter()):
                named = (customer["metadata"] or {}).get("organization")
                if named == organization_id and customer["id"] not in not_in:
                    return customer
    return None


def _clocks_named(name: str) -> list[str]:
    with translated("test_clocks.list"):
        page = client().v1.test_helpers.test_clocks.list({"limit": 100})
        return [clock.id for clock in page.auto_paging_iter() if clock.name == name]


# --- What the mirror fetches (SDK objects, as dj-stripe wants them) --------------------------


def own_account_id() -> str:
    with translated("accounts.retrieve_current"):
        return client().v1.accounts.retrieve_current().id


def fetch_customer(customer_id: str) -> stripe.Customer:
    """A deleted customer comes back with `deleted: true`, an unknown one raises Missing."""
    with translated("customers.retrieve"):
        return client().v1.customers.retrieve(customer_id)


def fetch_subscriptions(customer_id: str) -> list[stripe.Subscription]:
    """Ended ones too: a terminal state must be seen to be kept (A24)."""
    with translated("subscriptions.list"):
        page = client().v1.subscriptions.list(
            {"customer": customer_id, "status": "all", "limit": 100}
        )
        return list(page.auto_paging_iter())


def fetch_subscription(subscription_id: str) -> stripe.Subscription:
    with translated("subscriptions.retrieve"):
        return client().v1.subscriptions.retrieve(subscription_id)


def fetch_invoices(customer_id: str) -> list[stripe.Invoice]:
    with translated("invoices.list"):
        page = client().v1.invoices.list(
            {
                "customer": customer_id,
                "limit": 100,
                "expand": ["data.discounts", "data.lines.data.discounts", "data.payments"],
            }
        )
        return list(page.auto_paging_iter())


def fetch_charges(customer_id: str) -> list[stripe.Charge]:
    with translated("charges.list"):
        page = client().v1.charges.list({"customer": customer_id, "limit": 100})
        return list(page.auto_paging_iter())


def fetch_charge(charge_id: str) -> Json:
    with translated("charges.retrieve"):
        return _json(client().v1.charges.retrieve(charge_id))


def fetch_payment_methods(customer_id: str) -> list[stripe.PaymentMethod]:
    with translated("payment_methods.list"):
        page = client().v1.payment_methods.list({"customer": customer_id, "limit": 100})
        return list(page.auto_paging_iter())


def fetch_payment_method(payment_method_id: str) -> stripe.PaymentMethod:
    with translated("payment_methods.retrieve"):
        return client().v1.payment_methods.retrieve(payment_method_id)


def undelivered_events(*, since: int) -> Iterator[Json]:
    """Events that no endpoint of ours acknowledged; `since` in epoch seconds, 30 days at most."""
    with translated("events.list"):
        page = client().v1.events.list(
            {"delivery_success": False, "created": {"gte": since}, "limit": 100}
        )
        for event in page.auto_paging_iter():
            yield event.to_dict(for_json=True)


def fetch_disputes(charge_id: str) -> list[stripe.Dispute]:
    with translated("disputes.list"):
        page = client().v1.disputes.list({"charge": charge_id, "limit": 100})
        return list(page.auto_paging_iter())


def payment_status(payment_intent_id: str) -> str:
    """Stripe's word for how far a payment is; `requires_action` waits for the payer."""
    with translated("payment_intents.retrieve"):
        return client().v1.payment_intents.retrieve(payment_intent_id).status


def refund(payment_intent_id: str, *, amount: int, reason: str, key: str) -> str:
    """Gives money back to where it came from; empty where it had gone back already."""
    params: Any = {"payment_intent": payment_intent_id, "amount": amount, "reason": reason}
    with translated("refunds.create"):
        try:
            return client().v1.refunds.create(params, {"idempotency_key": key}).id
        except stripe.InvalidRequestError as error:
            if error.code == "charge_already_refunded":
                return ""
            raise


def void_invoice(invoice_id: str, *, key: str) -> None:
    """An open invoice that nobody owes any more."""
    with translated("invoices.void_invoice"):
        client().v1.invoices.void_invoice(invoice_id, {}, {"idempotency_key": key})


def cancel_subscription(subscription_id: str, *, key: str) -> None:
    """Ends it now, without proration: used for duplicates and closed organizations."""
    with translated("subscriptions.cancel"):
        client().v1.subscriptions.cancel(
            subscription_id, {"prorate": False, "invoice_now": False}, {"idempotency_key": key}
        )


# --- Changing a subscription ------------------------------------------------------------------


def preview_invoice(params: Mapping[str, Any]) -> Json:
    """The invoice that Stripe would write: the only source of a price shown before an act (D12)."""
    with translated("invoices.create_preview"):
        return _json(client().v1.invoices.create_preview(cast(Any, params)))


def create_subscription(params: Mapping[str, Any], *, key: str) -> Json:
    """Without Checkout, for what was agreed by contract and is paid by invoice."""
    with translated("subscriptions.create"):
        return _json(client().v1.subscriptions.create(cast(Any, params), {"idempotency_key": key}))


def update_subscription(subscription_id: str, params: Mapping[str, Any], *, key: str) -> Json:
    with translated("subscriptions.update"):
        changed = client().v1.subscriptions.update(
            subscription_id, cast(Any, params), {"idempotency_key": key}
        )
        return _json(changed)


def resume_subscription(subscription_id: str, *, key: str) -> None:
    """A paused one begins a new period now, once its invoice is paid."""
    with translated("subscriptions.resume"):
        client().v1.subscriptions.resume(
            subscription_id, {"billing_cycle_anchor": "now"}, {"idempotency_key": key}
        )


def end_subscription(subscription_id: str, params: Mapping[str, Any], *, key: str) -> None:
    """Ends it now; `prorate` credits the unused time and `invoice_now` settles it."""
    with translated("subscriptions.cancel"):
        client().v1.subscriptions.cancel(
            subscription_id, cast(Any, params), {"idempotency_key": key}
        )


def fetch_discounts(subscription_id: str) -> list[Json]:
    """A subscription's discounts with their coupons and promotion codes."""
    wanted = ["discounts.promotion_code", "discounts.source.coupon"]
    with translated("subscriptions.retrieve"):
        found = client().v1.subscriptions.retrieve(subscription_id, {"expand": wanted})
    return list(_json(found).get("discounts") or [])


def create_schedule(subscription_id: str, *, key: str) -> Json:
    """A schedule whose first phase is what the subscription is now."""
    with translated("subscription_schedules.create"):
        made = client().v1.subscription_schedules.create(
            {"from_subscription": subscription_id}, {"idempotency_key": key}
        )
        return _json(made)


def retrieve_schedule(schedule_id: str) -> Json:
    with translated("subscription_schedules.retrieve"):
        return _json(client().v1.subscription_schedules.retrieve(schedule_id))


def update_schedule(schedule_id: str, params: Mapping[str, Any], *, key: str) -> None:
    with translated("subscription_schedules.update"):
        client().v1.subscription_schedules.update(
            schedule_id, cast(Any, params), {"idempotency_key": key}
        )


def release_schedule(schedule_id: str) -> None:
    """The subscription goes on by itself as it is. Raises Missing when it was released before."""
    with translated("subscription_schedules.release"):
        client().v1.subscription_schedules.release(schedule_id)


def find_promotion_code(code: str) -> Json | None:
    """By what people type, in any case; the active one where several have carried the name."""
    wanted: Any = {"code": code, "limit": 10, "expand": ["data.promotion.coupon"]}
    with translated("promotion_codes.list"):
        found = [_json(one) for one in client().v1.promotion_codes.list(wanted).data]
    return min(found, key=lambda one: not one["active"], default=None)


def credit_customer(
    customer_id: str, *, amount: int, currency: str, description: str, key: str
) -> None:
    """Credit that the next invoices use up; `amount` is positive, in minor units."""
    params: Any = {"amount": -amount, "currency": currency, "description": description}
    with translated("customers.balance_transactions.create"):
        client().v1.customers.balance_transactions.create(
            customer_id, params, {"idempotency_key": key}
        )


# --- Checkout and portal --------------------------------------------------------------------


def create_checkout_session(params: Mapping[str, Any], *, key: str) -> Json:
    with translated("checkout.sessions.create"):
        sessions = client().v1.checkout.sessions
        return _json(sessions.create(cast(Any, params), {"idempotency_key": key}))


def retrieve_checkout_session(session_id: str) -> Json:
    with translated("checkout.sessions.retrieve"):
        return _json(client().v1.checkout.sessions.retrieve(session_id))


def expire_checkout_session(session_id: str) -> None:
    with translated("checkout.sessions.expire"):
        client().v1.checkout.sessions.expire(session_id)


def create_portal_session(params: Mapping[str, Any]) -> str:
    """The portal's URL is a bearer secret: hand it to the browser, never log or store it (B19)."""
    with translated("billing_portal.sessions.create"):
        return client().v1.billing_portal.sessions.create(cast(Any, params)).url


def portal_configuration(features: Json, *, digest: str) -> str:
    """The portal's configuration with these features; `digest` names them, so that it is one."""
    with translated("billing_portal.configurations"):
        configurations = client().v1.billing_portal.configurations
        for found in configurations.list({"active": True, "limit": 100}).auto_paging_iter():
            if (_json(found).get("metadata") or {}).get("ledgerline") == digest:
                return found.id
        params: Any = {"features": features, "metadata": {"ledgerline": digest}}
        return configurations.create(params).id


# --- Products and prices --------------------------------------------------------------------


def list_products() -> list[ShopProduct]:
    """Archived ones too: a plan that comes back finds its product."""
    with translated("products.list"):
        page = client().v1.products.list({"limit": 100})
        return [_shop_product(product) for product in page.auto_paging_iter()]


def create_product(draft: ProductDraft) -> ShopProduct:
    with translated("products.create"):
        return _shop_product(client().v1.products.create(_product_params(draft)))


def update_product(product_id: str, draft: ProductDraft) -> ShopProduct:
    """Also puts an archived product back on sale."""
    with translated("products.update"):
        # An empty label takes the old one away; leaving it out would keep it.
        label = draft.unit_label or ""
        params: Any = {**_product_params(draft), "unit_label": label, "active": True}
        return _shop_product(client().v1.products.update(product_id, params))


def archive_product(product_id: str) -> None:
    with translated("products.update"):
        client().v1.products.update(product_id, {"active": False})


def list_prices(product_id: str) -> list[ShopPrice]:
    """Archived ones too: their subscribers still pay them."""
    with translated("prices.list"):
        page = client().v1.prices.list({"product": product_id, "limit": 100})
        return [_shop_price(price) for price in page.auto_paging_iter()]


def find_price(price_id: str) -> ShopPrice | None:
    """None where this account and mode have no such price."""
    try:
        with translated("prices.retrieve"):
            return _shop_price(client().v1.prices.retrieve(price_id))
    except Missing:
        return None


def create_price(draft: PriceDraft) -> ShopPrice:
    """Takes the lookup key over from the price that had it."""
    params: Any = {
        "product": draft.product,
        "currency": draft.currency,
        **_amount(draft),
        **_recurring(draft),
        "lookup_key": draft.lookup_key,
        "transfer_lookup_key": True,
        "tax_behavior": draft.tax_behavior,
        "metadata": dict(draft.metadata),
    }
    with translated("prices.create"):
        return _shop_price(client().v1.prices.create(params))


def _amount(draft: PriceDraft) -> Json:
    exact = Decimal(draft.unit_amount)
    if exact == exact.to_integral_value():
        return {"unit_amount": int(exact)}
    return {"unit_amount_decimal": exact.normalize()}


def _recurring(draft: PriceDraft) -> Json:
    if draft.interval is None:
        return {}
    metered = {"usage_type": "metered", "meter": draft.meter} if draft.meter else {}
    return {"recurring": {"interval": draft.interval, **metered}}


def restore_price(price_id: str, *, lookup_key: str) -> ShopPrice:
    """Puts a price back on sale under its lookup key."""
    params: Any = {"active": True, "lookup_key": lookup_key, "transfer_lookup_key": True}
    with translated("prices.update"):
        return _shop_price(client().v1.prices.update(price_id, params))


def archive_price(price_id: str) -> None:
    """Nobody can buy it any more; whoever pays it goes on paying it."""
    with translated("prices.update"):
        client().v1.prices.update(price_id, {"active": False})


def _product_params(draft: ProductDraft) -> Any:
    params: Json = {
        "name": draft.name,
        "description": draft.description,
        "tax_code": draft.tax_code,
        "metadata": dict(draft.metadata),
    }
    return params | ({"unit_label": draft.unit_label} if draft.unit_label else {})


def _shop_product(product: stripe.Product) -> ShopProduct:
    found = product.to_dict()
    return ShopProduct(
        id=found["id"],
        name=found["name"],
        description=found.get("description") or "",
        tax_code=found.get("tax_code"),
        unit_label=found.get("unit_label"),
        active=found["active"],
        metadata=found.get("metadata") or {},
    )


def _shop_price(price: stripe.Price) -> ShopPrice:
    found = price.to_dict()
    recurring = found.get("recurring") or {}
    exact = found.get("unit_amount_decimal")
    return ShopPrice(
        id=found["id"],
        product=found["product"],
        currency=found["currency"],
        unit_amount=found.get("unit_amount"),
        interval=recurring.get("interval") if recurring.get("interval_count") == 1 else None,
        lookup_key=found.get("lookup_key"),
        active=found["active"],
        livemode=found["livemode"],
        unit_amount_decimal=None if exact is None else Decimal(str(exact)),
        meter=recurring.get("meter"),
    )


# --- Meters -----------------------------------------------------------------------------------


def list_meters() -> list[ShopMeter]:
    with translated("meters.list"):
        page = client().v1.billing.meters.list({"limit": 100})
        return [_shop_meter(meter) for meter in page.auto_paging_iter()]


def create_meter(*, event_name: str, name: str) -> ShopMeter:
    """Adds up the values of its events, each of which names its customer."""
    params: Any = {
        "event_name": event_name,
        "display_name": name,
        "default_aggregation": {"formula": "sum"},
        "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
        "value_settings": {"event_payload_key": "value"},
    }
    with translated("meters.create"):
        return _shop_meter(client().v1.billing.meters.create(params))


def restore_meter(meter_id: str) -> ShopMeter:
    with translated("meters.reactivate"):
        return _shop_meter(client().v1.billing.meters.reactivate(meter_id))


def create_meter_event(params: Mapping[str, Any]) -> bool:
    """False when Stripe has an event of this identifier already.

    The SDK's own idempotency key, not the identifier: Stripe would replay a stored 500 for a day.
    """
    with translated("meter_events.create"):
        try:
            client().v1.billing.meter_events.create(cast(Any, params))
        except stripe.InvalidRequestError as error:
            if _is_known_event(error):
                return False
            raise
    return True


def _is_known_event(error: stripe.InvalidRequestError) -> bool:
    said = (error.user_message or "").lower()
    return error.code == "duplicate_meter_event" or "already exists with identifier" in said


def sum_of_meter(meter_id: str, *, customer: str, start: int, end: int) -> Decimal:
    """What Stripe has counted between two whole minutes, in epoch seconds; it may lag behind."""
    params: Any = {"customer": customer, "start_time": start, "end_time": end, "limit": 100}
    with translated("meters.event_summaries.list"):
        page = client().v1.billing.meters.event_summaries.list(meter_id, params)
        sums = [Decimal(str(one.aggregated_value)) for one in page.auto_paging_iter()]
    return sum(sums, Decimal(0))


def _shop_meter(meter: Any) -> ShopMeter:
    return ShopMeter(id=meter.id, event_name=meter.event_name, active=meter.status == "active")
