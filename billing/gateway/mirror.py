"""dj-stripe's tables: the only door to them besides the webhooks.

Reads give back Stripe's own JSON (`stripe_data`), because dj-stripe 2.11 lost several fields to the
current API shape. Every write happens under the customer's lock (billing.gateway.locks).
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import structlog
from django.apps import apps
from django.conf import settings
from django.db.models.signals import pre_save
from djstripe import models as mirrored

from billing.gateway import personal, stripe_api
from billing.gateway.stripe_api import Json, Missing
from billing.models import InboxEvent

logger = structlog.get_logger(__name__)


def prepare() -> None:
    """Once per process: dj-stripe's own calls get our timeout, and our key stays out of its tables.

    dj-stripe keeps secret keys in plain text in `djstripe_apikey`, and after a rotation the old row
    wins; so both places where it looks one up are answered from the settings instead.
    """
    stripe_api.configure_module()
    invoice: Any = mirrored.Invoice
    invoice.expand_fields = [*mirrored.Invoice.expand_fields, "payments"]
    account: Any = mirrored.Account
    account.get_or_retrieve_for_api_key = classmethod(_owner_account)
    account.get_default_api_key = _configured_key
    for model in apps.get_app_config("djstripe").get_models():
        pre_save.connect(_leave_personal_data_at_stripe, sender=model, dispatch_uid=model.__name__)


def _leave_personal_data_at_stripe(sender: Any, instance: Any, **kwargs: Any) -> None:
    kind = instance._meta.model_name  # noqa: SLF001  Django documents it
    for field in instance._meta.concrete_fields:  # noqa: SLF001
        value = getattr(instance, field.attname)
        if value and not personal.is_kept_by_mirror(kind, field.name):
            setattr(instance, field.attname, field.get_default())
        elif isinstance(value, (dict, list, str)):
            setattr(instance, field.attname, personal.for_mirror(value))


# Disputes that ended well for us.
HARMLESS_DISPUTES = frozenset({"won", "warning_closed", "prevented"})
_account_ids: dict[str, str] = {}


def _owner_account(cls: type[mirrored.Account], api_key: str) -> mirrored.Account:
    """The account behind our key, asked for once per process and kept without the key."""
    if api_key not in _account_ids:
        _account_ids[api_key] = stripe_api.own_account_id()
    account, _ = cls.objects.get_or_create(
        id=_account_ids[api_key], defaults={"livemode": settings.STRIPE_LIVE_MODE}
    )
    return account


def _configured_key(self: mirrored.Account, livemode: bool | None = None) -> str:  # noqa: FBT001
    return str(settings.STRIPE_SECRET_KEY)


# --- Bringing the mirror up to date -----------------------------------------------------------


def resync(customer_id: str) -> bool:
    """Fetch a customer with all that hangs on it. False when Stripe no longer has the customer.

    Replay, return page and reconcile use this, because `Event.process` skips events that it knows.
    The caller holds the customer's lock.
    """
    if not refresh_customer(customer_id):
        return False
    _sync_all(mirrored.PaymentMethod, customer_id, stripe_api.fetch_payment_methods(customer_id))
    _sync_all(mirrored.Subscription, customer_id, stripe_api.fetch_subscriptions(customer_id))
    _sync(mirrored.Invoice, stripe_api.fetch_invoices(customer_id))
    charges = stripe_api.fetch_charges(customer_id)
    _sync(mirrored.Charge, charges)
    for charge in charges:
        if charge.disputed:
            _sync(mirrored.Dispute, stripe_api.fetch_disputes(charge.id))
    return True


def _sync(model: Any, objects: Iterable[Any]) -> None:
    for found in objects:
        model.sync_from_stripe_data(found)


def _sync_all(model: Any, customer_id: str, found: list[Any]) -> None:
    """`found` is complete: what Stripe no longer lists is forgotten here too (A23)."""
    _sync(model, found)
    present = [one["id"] for one in found]
    model.objects.filter(customer__id=customer_id).exclude(id__in=present).delete()


def refresh_customer(customer_id: str) -> bool:
    """False when Stripe no longer has the customer; dj-stripe fails on what Stripe answers then."""
    try:
        found = stripe_api.fetch_customer(customer_id)
    except Missing:
        return False
    if getattr(found, "deleted", False):
        return False
    mirrored.Customer.sync_from_stripe_data(found)
    return True


def forget_unseen_subscription(subscription_id: str, *, since: datetime) -> bool:
    """True when Stripe answers 404, which dj-stripe skips in silence (A23)."""
    known = mirrored.Subscription.objects.filter(id=subscription_id)
    if known.filter(djstripe_updated__gte=since).exists():
        return False
    try:
        found = stripe_api.fetch_subscription(subscription_id)
    except Missing:
        known.delete()
        return True
    mirrored.Subscription.sync_from_stripe_data(found)
    return False


def refresh_payment_method(payment_method_id: str) -> None:
    """A detached method is fetched like any other; dj-stripe would believe the payload instead."""
    try:
        found = stripe_api.fetch_payment_method(payment_method_id)
    except Missing:
        mirrored.PaymentMethod.objects.filter(id=payment_method_id).delete()
        return
    mirrored.PaymentMethod.sync_from_stripe_data(found)


def forget(customer_id: str) -> None:
    """Everything that hangs on a customer who is no longer ours to know."""
    event_ids = InboxEvent.objects.of_customer(customer_id).values_list("event_id", flat=True)
    mirrored.Event.objects.filter(id__in=list(event_ids)).delete()
    for model in apps.get_app_config("djstripe").get_models():
        names = {field.name for field in model._meta.concrete_fields}  # noqa: SLF001
        if "customer" in names:
            model._default_manager.filter(customer__id=customer_id).delete()  # noqa: SLF001
    mirrored.Customer.objects.filter(id=customer_id).delete()


def forget_events(before: datetime, most: int) -> int:
    """dj-stripe needs none of them: our inbox decides what is new."""
    old = mirrored.Event.objects.filter(djstripe_created__lt=before)
    chosen = list(old.values_list("pk", flat=True)[:most])
    mirrored.Event.objects.filter(pk__in=chosen).delete()
    return len(chosen)


# --- Reading the mirror -----------------------------------------------------------------------


def customer(customer_id: str) -> Json | None:
    return (
        mirrored.Customer.objects.filter(id=customer_id)
        .values_list("stripe_data", flat=True)
        .first()
    )


def subscriptions(customer_id: str) -> Iterator[Json]:
    yield from _data(mirrored.Subscription, customer_id)


def invoices(customer_id: str, *, changed_since: datetime | None = None) -> Iterator[Json]:
    yield from _data(mirrored.Invoice, customer_id, changed_since)


def payment_methods(customer_id: str) -> Iterator[Json]:
    yield from _data(mirrored.PaymentMethod, customer_id)


def charges(customer_id: str, *, changed_since: datetime | None = None) -> Iterator[Json]:
    yield from _data(mirrored.Charge, customer_id, changed_since)


def dispute_statuses(
    payment_intents: Iterable[str], *, changed_since: datetime | None = None
) -> dict[str, str]:
    """Payment intent → Stripe's word for its gravest dispute, where one has changed."""
    disputes = mirrored.Dispute.objects.filter(
        stripe_data__payment_intent__in=list(payment_intents)
    )
    if (
        changed_since is not None
        and not disputes.filter(djstripe_updated__gte=changed_since).exists()
    ):
        return {}
    gravest: dict[str, str] = {}
    for intent, status in disputes.values_list(
        "stripe_data__payment_intent", "stripe_data__status"
    ).order_by("created", "id"):
        known = gravest.get(intent, "")
        gravest[intent] = max(known, status, key=_gravity)
    return gravest


def _gravity(status: str) -> int:
    """A lost dispute outweighs an open one, and that one what ended well."""
    if status == "lost":
        return 3
    return 0 if not status else 1 if status in HARMLESS_DISPUTES else 2


def customer_of_charge(charge_id: str) -> str:
    """Disputes name a charge and no customer; empty when Stripe does not know the charge."""
    known = mirrored.Charge.objects.filter(id=charge_id).values_list("customer_id", flat=True)
    found = known.first()
    if found:
        return str(found)
    try:
        return str(stripe_api.fetch_charge(charge_id).get("customer") or "")
    except Missing:
        return ""


def stored_keys() -> int:
    """Rows of dj-stripe that hold an API key in plain text."""
    return int(mirrored.APIKey.objects.count())


def has_ever_held_a_subscription() -> bool:
    return bool(mirrored.Subscription.objects.exists())


def _data(model: Any, customer_id: str, changed_since: datetime | None = None) -> Iterator[Json]:
    rows = model.objects.filter(customer__id=customer_id)
    if changed_since is not None:
        rows = rows.filter(djstripe_updated__gte=changed_since)
    yield from rows.order_by("created", "id").values_list("stripe_data", flat=True)
