"""What the verdict was at any instant of the past, and the facts that it rested on.

Every change keeps its facts and its policy, so between two changes the verdict at an instant is
`resolve` of the earlier one's facts at that instant: time alone may have changed it while nobody
looked.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, Protocol

from pydantic import TypeAdapter

from billing import catalog
from billing.entitlement.resolution import resolve
from billing.entitlement.verdict import Facts, Policy, Resolution
from billing.models import EffectivePlanChange, SubscriptionPlan
from orgs.models import Organization

_FACTS: Final = TypeAdapter(Facts)
_POLICY: Final = TypeAdapter(Policy)


class Kept(Protocol):
    """What a change remembers."""

    at: datetime
    valid_until: datetime | None
    facts: dict[str, Any]
    policy: dict[str, Any]


def policy_as_json(policy: Policy) -> dict[str, Any]:
    plain: dict[str, Any] = _POLICY.dump_python(policy, mode="json")
    return plain


def facts_of(change: Kept) -> Facts:
    return _FACTS.validate_python(change.facts)


def again(change: Kept, at: datetime) -> Resolution:
    """The verdict of its facts by its policy, at this instant."""
    return resolve(facts_of(change), _POLICY.validate_python(change.policy), at)


def is_outlived(change: Kept, at: datetime) -> bool:
    """Time alone may have changed the verdict since. Of old rows the policy is not known."""
    return change.valid_until is not None and change.valid_until <= at and bool(change.policy)


def at(organization: Organization, instant: datetime) -> EffectivePlanChange | None:
    """The verdict that held then; None where nothing was known yet.

    The last in number and not in time: an organization that gets a test clock may go back by
    seconds, once. Where time alone had changed the verdict and nobody had looked, the row is not
    the stored one: it is derived, has the stored one's number and facts, and is never saved.
    """
    change: EffectivePlanChange | None = (
        EffectivePlanChange.objects.filter(organization=organization, at__lte=instant)
        .select_related("plan", "organization")
        .order_by("-sequence")
        .first()
    )
    if change is not None and is_outlived(change, instant):
        _derive(change, again(change, instant), instant)
    return change


def recent(organization: Organization, limit: int = 20) -> Sequence[EffectivePlanChange]:
    """Newest first."""
    changes = EffectivePlanChange.objects.filter(organization=organization)
    return list(changes.select_related("plan").order_by("-sequence")[:limit])


def _derive(change: EffectivePlanChange, verdict: Resolution, instant: datetime) -> None:
    for name, value in vars(verdict).items():
        if name not in {"plan", "trace"}:
            setattr(change, name, value)
    change.trace = [asdict(step) for step in verdict.trace]
    change.at = instant
    change.cause = "time"
    found = SubscriptionPlan.objects.filter(
        catalog=catalog.current().key, key=verdict.plan.key, version=verdict.plan.version
    ).first()
    if found is not None:
        change.plan = found
