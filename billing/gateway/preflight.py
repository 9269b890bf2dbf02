"""Is this installation ready for Stripe, and Stripe for it? Asked before customers find out."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from billing import catalog
from billing.catalog.comparison import compare
from billing.catalog.diff import differences
from billing.findings import Check, Finding, failed, ok, skipped, warning
from billing.gateway import mirror, stripe_api
from billing.gateway.webhooks import signature
from billing.gateway.webhooks.handled import HANDLED
from billing.models import BillingAccount, InboxEvent, PlanPrice

_PATHS: Final = ("stripe-webhook", "subscriptions-webhook")
_NAMED: Final = 5  # of many, in one sentence
_SKEW: Final = 30  # seconds; Stripe's signatures stop to hold at 300
_TIMEOUT: Final = 15
_QUIET: Final = timedelta(days=7)


def stripe_key() -> Finding:
    name = "stripe-key"
    if not stripe_api.is_configured():
        return failed(name, "STRIPE_SECRET_KEY is not set.", "Set it and restart.")
    account = stripe_api.own_account_id()
    mode = _mode()
    if settings.STRIPE_ACCOUNT_ID and account != settings.STRIPE_ACCOUNT_ID:
        return failed(
            name,
            f"The key belongs to {account}, STRIPE_ACCOUNT_ID names {settings.STRIPE_ACCOUNT_ID}.",
        )
    return ok(name, f"The {mode} key opens account {account}.")


def mode_of_rows() -> Finding:
    """Ids of the other mode sell nothing and grant nothing (A20)."""
    name, live = "mode-of-rows", settings.STRIPE_LIVE_MODE
    prices = PlanPrice.objects.purchasable().filter(plan__catalog=catalog.current().key)
    others = prices.exclude(livemode=live).count()
    if others:
        return failed(
            name,
            f"{others} prices on sale are not {_mode()} prices.",
            "Run `manage.py catalog apply` with the key of this mode.",
        )
    accounts = BillingAccount.objects.exclude(stripe_customer_id=None).exclude(livemode=live)
    if count := accounts.count():
        return warning(
            name, f"{count} organizations have customers of the other mode; they cannot buy."
        )
    return ok(name, f"Prices and customers are of {_mode()} mode, as the key.")


def webhook_endpoint() -> Iterator[Finding]:
    name = "webhook-endpoint"
    if not _ready():
        yield skipped(name, "There is no key to ask Stripe with.")
        return
    with stripe_api.translated("webhook_endpoints.list"):
        page = stripe_api.client().v1.webhook_endpoints.list({"limit": 100})
        found = [one.to_dict() for one in page.auto_paging_iter()]
    ours = [one for one in found if urlsplit(one["url"]).path in _our_paths()]
    here = [one for one in ours if one["url"].startswith(settings.SITE_URL)]
    enabled = [one for one in here if one["status"] == "enabled"]
    if not enabled:
        elsewhere = ", ".join(one["url"] for one in ours[:_NAMED])
        yield failed(
            name,
            f"Stripe has no enabled endpoint at {settings.SITE_URL}{_our_paths()[0]}"
            + (f"; it has {elsewhere}." if elsewhere else "."),
            "Create it in Stripe's Dashboard; docs/operations.md names its events.",
        )
        return
    yield ok(name, f"Stripe delivers to {enabled[0]['url']}.")
    yield _events_of(enabled)
    yield _version_of(enabled)


def _events_of(endpoints: list[dict[str, Any]]) -> Finding:
    heard = {kind for one in endpoints for kind in one["enabled_events"]}
    missing = [] if "*" in heard else sorted(set(HANDLED) - heard)
    if not missing:
        return ok("webhook-events", f"All {len(HANDLED)} events are delivered.")
    named = ", ".join(missing[:_NAMED]) + (" …" if len(missing) > _NAMED else "")
    return failed("webhook-events", f"{len(missing)} events are not delivered: {named}")


def _version_of(endpoints: list[dict[str, Any]]) -> Finding:
    """Objects are fetched again with our version, so another one is no danger, only noise (A25)."""
    name, ours = "webhook-api-version", settings.STRIPE_API_VERSION
    others = {one["api_version"] or "the account's default" for one in endpoints} - {ours}
    if others:
        return warning(
            name,
            f"An endpoint speaks {', '.join(sorted(others))}, not {ours}.",
            "Make the endpoint anew with the version of this release.",
        )
    return ok(name, f"The endpoint speaks {ours}.")


def webhook_secret() -> Finding:
    """A delivery of our own through the front door: signed it must be stored, forged refused."""
    name = "webhook-secret"
    secrets = settings.STRIPE_WEBHOOK_SECRETS
    if not secrets:
        return failed(name, "STRIPE_WEBHOOK_SECRET is not set.", "Set the endpoint's secret.")
    url = settings.SITE_URL + reverse(_PATHS[0])
    for number, secret in enumerate(secrets, start=1):
        event = _own_event()
        status = _deliver(url, event, secret)
        if status != 200:  # noqa: PLR2004
            return failed(
                name,
                f"{url} answered {status or 'nothing'} to a delivery signed with secret {number}.",
                "Web processes must run with the same STRIPE_WEBHOOK_SECRET and database.",
            )
        if not InboxEvent.objects.filter(event_id=event["id"]).exists():
            return failed(name, f"{url} answered 200, but wrote into another database.")
    if (status := _deliver(url, _own_event(), "whsec_" + "forged" * 4)) != 400:  # noqa: PLR2004
        return failed(name, f"{url} answered {status or 'nothing'} to a forged delivery, not 400.")
    return ok(name, f"{len(secrets)} signed deliveries were stored, a forged one was refused.")


def webhook_deliveries() -> Finding:
    """Stripe shows a secret to nobody, so only its own deliveries prove that ours is the same."""
    name = "webhook-deliveries"
    real = InboxEvent.objects.exclude(type=_OWN_TYPE).filter(livemode=settings.STRIPE_LIVE_MODE)
    last = real.order_by("-received_at").values_list("received_at", flat=True).first()
    if last is None:
        return warning(name, "No event of Stripe's has arrived yet.", "Run `manage.py smoke`.")
    if timezone.now() - last > _QUIET:
        return warning(name, f"The last event of Stripe's arrived on {last:%Y-%m-%d}.")
    return ok(name, f"Stripe's last event arrived at {last:%Y-%m-%d %H:%M} UTC.")


def prices() -> Finding:
    name = "prices"
    if not _ready():
        return skipped(name, "There is no key to ask Stripe with.")
    rows = differences(compare(catalog.current(), stripe_api, os.environ))
    if rows:
        named = "; ".join(str(row) for row in rows[:_NAMED])
        return failed(
            name,
            f"File, database and Stripe differ in {len(rows)} places: {named}",
            "Look at `manage.py catalog diff`, then `catalog apply`.",
        )
    linked = PlanPrice.objects.purchasable().filter(plan__catalog=catalog.current().key).count()
    return ok(name, f"File, database and Stripe agree; {linked} prices can be bought.")


def portal() -> Finding:
    name = "portal"
    if not _ready():
        return skipped(name, "There is no key to ask Stripe with.")
    with stripe_api.translated("billing_portal.configurations.list"):
        page = stripe_api.client().v1.billing_portal.configurations.list(
            {"active": True, "limit": 100}
        )
        found = [one.to_dict() for one in page.auto_paging_iter()]
    if not found:
        return warning(
            name, "The portal has no configuration yet; the first visit or a smoke run makes one."
        )
    if not any(one["features"]["payment_method_update"]["enabled"] for one in found):
        return failed(name, "The portal lets nobody change the payment method.")
    return ok(name, "The customer portal is configured.")


def tax() -> Finding:
    name = "tax"
    if not (catalog.current().tax.automatic and settings.STRIPE_AUTOMATIC_TAX):
        return skipped(name, "Tax is not calculated automatically here.")
    if not _ready():
        return skipped(name, "There is no key to ask Stripe with.")
    with stripe_api.translated("tax.settings.retrieve"):
        found = stripe_api.client().v1.tax.settings.retrieve()
    if found.status != "active":
        return failed(
            name,
            f"Stripe Tax is {found.status}: Checkout would refuse.",
            "Complete it in the Dashboard, or set STRIPE_AUTOMATIC_TAX=0.",
        )
    return ok(name, "Stripe Tax is active.")


def clock_and_stripe() -> Finding:
    """Signatures carry Stripe's time; five minutes off and every webhook is refused."""
    name = "clock"
    if not _ready():
        return skipped(name, "There is no key to ask Stripe with.")
    with stripe_api.translated("clock"):
        answer = stripe_api.client().v1.webhook_endpoints.list({"limit": 1}).last_response
    date = answer.headers.get("Date") if answer is not None and answer.headers else None
    if date is None:
        return skipped(name, "Stripe's answer carried no time.")
    skew = abs(time.time() - parsedate_to_datetime(date).timestamp())
    if skew > _SKEW:
        return failed(name, f"This machine is {skew:.0f} s away from Stripe's clock.", "Run NTP.")
    return ok(name, f"This machine's clock is within {max(skew, 1):.0f} s of Stripe's.")


def stored_keys() -> Finding:
    """dj-stripe would keep keys in plain text, and let an old one win after a rotation."""
    name = "stored-keys"
    if count := mirror.stored_keys():
        return failed(
            name,
            f"{count} Stripe keys lie in plain text in djstripe_apikey.",
            "Delete those rows and roll the keys at Stripe.",
        )
    return ok(name, "No Stripe key lies in the database.")


CHECKS: Final[tuple[Check, ...]] = (
    stripe_key,
    mode_of_rows,
    webhook_endpoint,
    webhook_secret,
    webhook_deliveries,
    prices,
    portal,
    tax,
    clock_and_stripe,
    stored_keys,
)

_OWN_TYPE: Final = "ledgerline.doctor"


def _own_event() -> dict[str, Any]:
    """Stored and ignored: nothing listens to its type."""
    return {
        "id": f"evt_doctor_{uuid4().hex}",
        "object": "event",
        "type": _OWN_TYPE,
        "livemode": settings.STRIPE_LIVE_MODE,
        "api_version": settings.STRIPE_API_VERSION,
        "created": int(time.time()),
        "data": {"object": {"object": "doctor"}},
    }


def _deliver(url: str, event: dict[str, Any], secret: str) -> int:
    """The status; 0 when nobody answered."""
    body = json.dumps(event).encode()
    headers = {
        "Content-Type": "application/json",
        "Stripe-Signature": signature.sign(body, secret),
    }
    request = urllib.request.Request(url, body, headers)  # noqa: S310  SITE_URL is our own
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0


def _our_paths() -> list[str]:
    return [reverse(name) for name in _PATHS]


def _ready() -> bool:
    return stripe_api.is_configured()


def _mode() -> str:
    return "live" if settings.STRIPE_LIVE_MODE else "test"
