"""Keeps the verdict: re-derives it under a lock, stores changes with their facts, tells others."""

from dataclasses import asdict
from typing import Any, Final

import structlog
from django.db import transaction

from billing import catalog
from billing.entitlement import beta, history
from billing.entitlement import facts as known
from billing.entitlement.clock import database_now
from billing.entitlement.resolution import resolve
from billing.entitlement.verdict import Resolution
from billing.models import BillingAccount, EffectivePlan, EffectivePlanChange, SubscriptionPlan
from billing.signals import entitlement_changed
from orgs.models import Organization

logger = structlog.get_logger(__name__)

_COLUMNS: Final = (
    "plan_id", "source", "status", "access", "seats", "interval", "currency", "price_id",
    "subscription_id", "period_start", "period_end", "ends_at", "grace_ends_at", "valid_until",
    "is_beta", "reason", "added",
)  # fmt: skip


def current(organization: Organization) -> EffectivePlan:
    """The effective plan, re-derived first where time alone may have changed it."""
    row = (
        EffectivePlan.objects.select_related("plan", "organization")
        .filter(organization=organization)
        .first()
    )
    if row is None or _is_stale(row, organization):
        return rederive(organization, cause="read")
    return row


def rederive(organization: Organization, *, cause: str) -> EffectivePlan:
    """Resolve now, under the account's lock. Stripe is never called here: facts are already ours.

    `cause` is what made us look: an event id, a person's act, "read".
    """
    with transaction.atomic():
        account = lock_account(organization)
        now = account.frozen_at or database_now()
        facts = known.gather(account)
        policy = known.policy()
        verdict = resolve(facts, policy, now)
        _shout_about_unknown_prices(verdict, organization)
        _shout_about_lost_beta(verdict)
        row, before = _load(organization)
        values = _values(verdict)
        seen = known.as_json(facts), history.policy_as_json(policy)
        if before == values and _last_seen(organization) == seen:
            return row
        _write(row, values, verdict, now)
        EffectivePlanChange.objects.create(
            organization=organization,
            sequence=row.sequence,
            at=now,
            cause=cause[:120],
            facts=seen[0],
            policy=seen[1],
            trace=row.trace,
            **values,
        )
        if before != values:
            entitlement_changed.send(EffectivePlan, organization=organization, effective=row)
            logger.info(
                "billing.plan_changed",
                organization=str(organization.pk),
                plan=verdict.plan.key,
                source=verdict.source,
                cause=cause,
            )
        return row


def refresh(organization: Organization, *, cause: str) -> EffectivePlan:
    """Re-derives and announces even an unchanged verdict: the plan's own terms have changed."""
    with transaction.atomic():
        lock_account(organization)
        row = rederive(organization, cause=cause)
        entitlement_changed.send(EffectivePlan, organization=organization, effective=row)
        return row


def lock_account(organization: Organization) -> BillingAccount:
    """The row that serializes everything about one organization's money."""
    BillingAccount.objects.get_or_create(organization=organization)
    return (
        BillingAccount.objects.select_for_update(no_key=True, of=("self",))
        .select_related("organization")
        .get(organization=organization)
    )


def _is_stale(row: EffectivePlan, organization: Organization) -> bool:
    if beta.is_outdated(row):
        return True
    if row.valid_until is None:
        return False
    frozen = (
        BillingAccount.objects.filter(organization=organization)
        .values_list("frozen_at", flat=True)
        .first()
    )
    return row.valid_until <= (frozen or database_now())


def _load(organization: Organization) -> tuple[EffectivePlan, dict[str, Any] | None]:
    row = EffectivePlan.objects.select_related("plan").filter(organization=organization).first()
    if row is None:
        return EffectivePlan(organization=organization), None
    return row, {name: getattr(row, name) for name in _COLUMNS}


def _values(verdict: Resolution) -> dict[str, Any]:
    plain = {name: getattr(verdict, name) for name in _COLUMNS if name != "plan_id"}
    return {"plan_id": _plan(verdict).pk, **plain}


def _plan(verdict: Resolution) -> SubscriptionPlan:
    return SubscriptionPlan.objects.get(
        catalog=catalog.current().key, key=verdict.plan.key, version=verdict.plan.version
    )


def _last_seen(organization: Organization) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Facts and policy of the last change."""
    return (
        EffectivePlanChange.objects.filter(organization=organization)
        .order_by("-sequence")
        .values_list("facts", "policy")
        .first()
    )


def _write(row: EffectivePlan, values: dict[str, Any], verdict: Resolution, now: Any) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    row.trace = [asdict(step) for step in verdict.trace]
    row.sequence += 1
    row.derived_at = now
    row.save()


def _shout_about_unknown_prices(verdict: Resolution, organization: Organization) -> None:
    for step in verdict.trace:
        if step.outcome in {"unknown_price", "other_mode"} and step.detail.get("status") in {
            "active", "trialing", "past_due",
        }:  # fmt: skip
            logger.error(
                "alert.subscription_grants_nothing",
                why=step.outcome,
                organization=str(organization.pk),
                subscription=step.subject,
                price=step.detail.get("price"),
            )


def _shout_about_lost_beta(verdict: Resolution) -> None:
    """It has billed, so nothing is unlocked; but payments no longer arrive as they should."""
    if any(step.outcome == "closed_because_it_has_billed" for step in verdict.trace):
        logger.error("alert.stripe_not_fully_configured", missing=list(beta.missing()))
