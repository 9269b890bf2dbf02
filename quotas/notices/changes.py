"""What satellites are told of an organization, compared with what they were told last."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from billing import catalog
from billing.models import EffectivePlan
from orgs.models import Organization
from quotas.engine.decisions import instant
from quotas.models import NoticeEndpoint, NoticeState, NoticeType, UsageLimit
from quotas.notices import outbox
from quotas.notices.outbox import Data
from quotas.reading import surplus

_INSTANTS = ("period_start", "period_end", "ends_at", "grace_ends_at")


def look(organization: Organization, effective: EffectivePlan) -> None:
    """After limits were derived, in that transaction: plan, access, limits, and any surplus."""
    if organization.closed_at is not None or not outbox.is_anybody_listening():
        return
    state = outbox.lock(organization)
    _tell_entitlements(state, organization, effective)
    _tell_access(state, organization, effective)
    _tell_surplus(state, organization, effective.plan.key)


def look_at_all(organizations: Iterable[UUID]) -> None:
    """After the roll-ups: every organization whose usage moved."""
    moved = list(organizations)
    if not moved or not outbox.is_anybody_listening():
        return
    told = NoticeState.objects.filter(organization__in=moved).exclude(over={})
    concerned = surplus.among(moved) | set(told.values_list("organization_id", flat=True))
    for organization in Organization.objects.open().filter(pk__in=concerned):
        look_at_usage(organization)


@transaction.atomic
def look_at_usage(organization: Organization) -> None:
    """After usage or members moved: only what exceeds a limit can be news."""
    if organization.closed_at is not None or not outbox.is_anybody_listening():
        return
    effective = EffectivePlan.objects.select_related("plan").filter(organization=organization)
    for found in effective:
        state = outbox.lock(organization)
        _tell_surplus(state, organization, found.plan.key)


def tell_crossed(organization: Organization, facts: Data) -> None:
    """A threshold of a quota, once per period (quotas.reaction.alerts)."""
    if not outbox.is_anybody_listening():
        return

    def render(endpoint: NoticeEndpoint) -> Data | None:
        return facts if endpoint.hears_of(facts["meter"]) else None

    outbox.put(outbox.lock(organization), organization, NoticeType.QUOTA_CROSSED, render)


def tell_deleted(organization: Organization) -> None:
    """The last notice about it."""
    if not outbox.is_anybody_listening():
        return
    closed = organization.closed_at or timezone.now()
    state = outbox.lock(organization)
    outbox.put(
        state, organization, NoticeType.ORGANIZATION_DELETED,
        lambda _endpoint: {"closed_at": instant(closed)},
    )  # fmt: skip


# --- Plan and access --------------------------------------------------------------------------


def _tell_entitlements(
    state: NoticeState, organization: Organization, effective: EffectivePlan
) -> None:
    data = _entitlements(organization, effective)
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    if digest == state.entitlements:
        return
    state.entitlements = digest
    state.save(update_fields=["entitlements"])
    sequence = {"entitlement_sequence": effective.sequence}

    def render(endpoint: NoticeEndpoint) -> Data:
        limits = {key: row for key, row in data["limits"].items() if endpoint.hears_of(key)}
        return data | sequence | {"limits": limits}

    outbox.put(state, organization, NoticeType.ENTITLEMENTS_CHANGED, render)


def _entitlements(organization: Organization, effective: EffectivePlan) -> Data:
    """The limits are the whole allowance: seats multiplied in, packs and overrides applied."""
    rows = UsageLimit.objects.filter(organization=organization).order_by("meter")
    return {
        "plan": effective.plan.key,
        "plan_version": effective.plan.version,
        "source": str(effective.source),
        "status": effective.status,
        "access": str(effective.access),
        "reason": effective.reason,
        "is_beta": effective.is_beta,
        "seats": effective.seats,
        "features": _features(effective),
        "limits": {
            row.meter: {
                "amount": row.amount,
                "hard": row.hard,
                "per_member": row.per_member,
                "available": not row.refusal,
                "enforcement": row.enforcement,
            }
            for row in rows
        },
        **{name: _moment(getattr(effective, name)) for name in _INSTANTS},
    }


def _features(effective: EffectivePlan) -> dict[str, str]:
    """Beta has every feature of the catalogue on, except what is only planned."""
    if effective.is_beta:
        return {key: feature.state for key, feature in catalog.current().features.items()}
    return dict(effective.plan.features)


def _moment(at: Any) -> str | None:
    return None if at is None else instant(at)


def _tell_access(state: NoticeState, organization: Organization, effective: EffectivePlan) -> None:
    """Who was never told of an access assumes that it is full."""
    before = state.access or "full"
    if before == effective.access:
        return
    state.access = effective.access
    state.save(update_fields=["access"])
    data = {
        "access": str(effective.access),
        "before": before,
        "reason": effective.reason,
        "plan": effective.plan.key,
        "grace_ends_at": _moment(effective.grace_ends_at),
    }
    outbox.put(state, organization, NoticeType.ACCESS_CHANGED, lambda _endpoint: data)


# --- What exceeds a limit ---------------------------------------------------------------------


def _tell_surplus(state: NoticeState, organization: Organization, plan: str) -> None:
    """Again whenever it changes, and a last time when it is gone."""
    before: dict[str, Data] = state.over
    now = {found.meter: _surplus(found, before) for found in surplus.of(organization)}
    changed = {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)}
    if not changed:
        return
    state.over = now
    state.save(update_fields=["over"])

    def render(endpoint: NoticeEndpoint) -> Data | None:
        if not any(endpoint.hears_of(key) for key in changed):
            return None
        heard = [entry for key, entry in now.items() if endpoint.hears_of(key)]
        return {"plan": plan, "over": heard}

    outbox.put(state, organization, NoticeType.OVER_LIMIT, render)


def _surplus(found: surplus.Surplus, before: dict[str, Data]) -> Data:
    known = before.get(found.meter)
    return {
        "meter": found.meter,
        "used": found.used,
        "limit": found.limit,
        "surplus": found.amount,
        "policy": found.policy,
        "since": known["since"] if known else instant(timezone.now()),
    }
