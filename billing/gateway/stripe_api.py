"""Every call to Stripe: one client, one timeout, our idempotency keys, our error words.

Idempotency keys are remembered by Stripe for 24 hours, so callers put the identity of the intent
into them and read before they write again later (B16, B17).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import stripe
import structlog
from django.conf import settings

from billing.exceptions import BillingError, NotConfigured, StripeRefused, StripeUnavailable

logger = structlog.get_logger(__name__)

Json = dict[str, Any]


class Missing(StripeRefused):
    """Stripe does not know the object: deleted, or of another account or mode."""

    status = 404
    code = "stripe_missing"


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


@contextmanager
def translated(call: str) -> Iterator[None]:
    """Stripe's exceptions as ours; the original is logged without its request body."""
    try:
        yield
    except stripe.InvalidRequestError as error:
        logger.warning("stripe.refused", call=call, code=error.code, param=error.param)
        kind = Missing if error.code == "resource_missing" else StripeRefused
        raise kind(error.user_message or "Stripe refused the request.") from None
    except stripe.CardError as error:
        raise StripeRefused(
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
        made = client().v1.customers.create(
            dict(params),  # type: ignore[arg-type]  a TypedDict of Stripe's
            {"idempotency_key": key},
        )
        return _json(made)


def update_customer(customer_id: str, params: Mapping[str, Any]) -> Json:
    with translated("customers.update"):
        return _json(client().v1.customers.update(customer_id, dict(params)))  # type: ignore[arg-type]


def find_customer_by_organization(organization_id: str) -> Json | None:
    """The newest customer that carries our organization id, for keys that Stripe forgot (B16)."""
    with translated("customers.list"):
        page = client().v1.customers.list({"limit": 100})
        for customer in page.auto_paging_iter():
            if (customer.metadata or {}).get("organization") == organization_id:
                return _json(customer)
    return None


# --- Checkout and portal --------------------------------------------------------------------


def create_checkout_session(params: Mapping[str, Any], *, key: str) -> Json:
    with translated("checkout.sessions.create"):
        made = client().v1.checkout.sessions.create(
            dict(params),  # type: ignore[arg-type]
            {"idempotency_key": key},
        )
        return _json(made)


def retrieve_checkout_session(session_id: str) -> Json:
    with translated("checkout.sessions.retrieve"):
        return _json(client().v1.checkout.sessions.retrieve(session_id))


def expire_checkout_session(session_id: str) -> None:
    with translated("checkout.sessions.expire"):
        client().v1.checkout.sessions.expire(session_id)


def create_portal_session(params: Mapping[str, Any]) -> str:
    """The portal's URL is a bearer secret: hand it to the browser, never log or store it (B19)."""
    with translated("billing_portal.sessions.create"):
        return client().v1.billing_portal.sessions.create(dict(params)).url  # type: ignore[arg-type]
