"""Gathers what `resolve` may know of an organization: our own rows and the installation's state."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q

from billing import catalog
from billing.catalog.policies import STATUSES
from billing.entitlement import beta
from billing.entitlement.clock import database_now
from billing.entitlement.verdict import (
    Facts,
    GrantFact,
    Grants,
    InvoiceFact,
    LicenceFact,
    PlanRef,
    Policy,
    SubscriptionFact,
)
from billing.licence import standing
from billing.licence.judgement import State
from billing.models import (
    Access,
    BillingAccount,
    ExtraPrice,
    Grant,
    Invoice,
    PlanPrice,
    Source,
    Subscription,
    SubscriptionPlan,
)

# Paid and void invoices cannot change a verdict; a draft can, while it is the first one.
_OWABLE = ("draft", "open", "uncollectible")
# … and so can money that went back.
_TELLING = Q(status__in=_OWABLE) | Q(amount_refunded__gt=0) | ~Q(dispute_status="")


class CatalogueNotApplied(RuntimeError):
    """The database holds no plans yet: run `manage.py catalog apply`."""


def gather(account: BillingAccount) -> Facts:
    """Four small queries, all of them our own rows."""
    organization = account.organization
    subscriptions = list(organization.subscriptions.all())
    return Facts(
        subscriptions=tuple(_subscriptions(subscriptions)),
        invoices=tuple(_invoice(row) for row in organization.invoices.filter(_TELLING)),
        grants=tuple(_grants(organization.grants.filter(revoked_at=None))),
        livemode=settings.STRIPE_LIVE_MODE,
        configured=beta.is_configured(),
        has_ever_billed=bool(subscriptions) or beta.has_ever_billed(),
        customer_deleted=account.customer_deleted_at is not None,
        licence=_licence(),
    )


def policy() -> Policy:
    """The catalogue's dunning, statuses and default plan as `resolve` wants them."""
    current = catalog.current()
    rules: dict[str, Grants] = {status: current.statuses.rule(status).grants for status in STATUSES}
    return Policy(
        default_plan=_plan_on_sale(current.key, current.default_plan),
        status_grants=rules,
        grace=timedelta(days=current.dunning.grace_days),
        access_during_grace=Access(current.dunning.access_during_grace),
        at_end=current.dunning.at_end,
        lost_dispute=current.dunning.lost_dispute,
        full_refund=current.dunning.full_refund,
        partial_refund=current.dunning.partial_refund,
        beta=current.beta.enabled,
        ladder=tuple(current.plans),
    )


def as_json(facts: Facts) -> dict[str, Any]:
    """For the history: plain JSON with ISO instants."""
    plain: dict[str, Any] = _plain(asdict(facts))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _subscriptions(rows: list[Subscription]) -> Iterable[SubscriptionFact]:
    prices = {row.price_id for row in rows}
    packs = _packs(rows)
    known = {
        price.stripe_price_id: PlanRef(key=price.plan.key, version=price.plan.version)
        for price in PlanPrice.objects.filter(
            stripe_price_id__in=prices, plan__catalog=catalog.current().key
        ).select_related("plan")
    }
    for row in rows:
        yield SubscriptionFact(
            stripe_id=row.stripe_id,
            status=row.status,
            plan=known.get(row.price_id),
            price_id=row.price_id,
            quantity=row.quantity,
            interval=row.interval,
            currency=row.currency,
            livemode=row.livemode,
            created_at=row.created_at,
            period_start=row.current_period_start,
            period_end=row.current_period_end,
            cancel_at=row.cancel_at,
            cancel_at_period_end=row.cancel_at_period_end,
            trial_end=row.trial_end,
            paused=row.paused,
            pending_invoice=row.pending_invoice_id,
            added=_added(row, packs),
        )


def _packs(rows: list[Subscription]) -> dict[str, ExtraPrice]:
    named = {item["price"] for row in rows for item in row.items} - {row.price_id for row in rows}
    if not named:
        return {}
    found = ExtraPrice.objects.with_stripe_ids(named).of_kind(ExtraPrice.Kind.ADDON)
    return {pack.stripe_price_id or "": pack for pack in found}


def _added(row: Subscription, packs: dict[str, ExtraPrice]) -> dict[str, int]:
    added: dict[str, int] = {}
    for item in row.items:
        pack = packs.get(item["price"])
        if pack is not None:
            added[pack.meter] = added.get(pack.meter, 0) + pack.units * item["quantity"]
    return added


def _invoice(row: Invoice) -> InvoiceFact:
    return InvoiceFact(
        stripe_id=row.stripe_id,
        status=row.status,
        billing_reason=row.billing_reason,
        subscription_id=row.subscription_id,
        collection_method=row.collection_method,
        amount_remaining=row.amount_remaining,
        attempt_count=row.attempt_count,
        finalized_at=row.finalized_at,
        due_date=row.due_date,
        disputed=row.disputed,
        dispute="settled" if row.dispute_settled_at else row.dispute_status,
        amount_paid=row.amount_paid,
        amount_refunded=row.amount_refunded,
        period_end=row.period_end,
    )


def _licence() -> LicenceFact | None:
    """Judged anew with every verdict, by the real time and never by a test clock."""
    found = standing.at(database_now())
    if found.state is State.NOT_REQUIRED:
        return None
    if found.licence is None or not found.is_usable:
        return LicenceFact(refusal=found.state)
    return LicenceFact(
        plan=_find_plan(catalog.current().key, found.licence.plan),
        seats=found.licence.seats,
        starts_at=found.licence.starts_at,
        ends_at=found.grace_ends_at,
    )


def _grants(rows: Iterable[Grant]) -> Iterable[GrantFact]:
    for row in rows:
        yield GrantFact(
            id=row.pk,
            source=Source(row.source),
            plan=_find_plan(catalog.current().key, row.plan_key),
            seats=row.seats,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
        )


def _find_plan(catalog_key: str, plan_key: str) -> PlanRef | None:
    version = (
        SubscriptionPlan.objects.of_catalog(catalog_key)
        .with_key(plan_key)
        .on_sale()
        .values_list("version", flat=True)
        .first()
    )
    return None if version is None else PlanRef(key=plan_key, version=version)


def _plan_on_sale(catalog_key: str, plan_key: str) -> PlanRef:
    found = _find_plan(catalog_key, plan_key)
    if found is None:
        raise CatalogueNotApplied(f"Plan {plan_key} is not in the database: run `catalog apply`.")
    return found
