"""Leaving: with a reason if one likes, at the end of what is paid for, undoable until then."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing import catalog, ports
from billing.catalog.policies import Cancellation
from billing.entitlement import clock
from billing.exceptions import NothingToChange
from billing.gateway import stripe_api
from billing.models import SubscriptionPlan
from billing.subscription import changes, consequences, holding
from billing.subscription.consequences import Consequences, Terms
from billing.subscription.holding import Holding
from orgs import audit
from orgs.models import Organization, User

# Stripe's own words for why people leave, so that its reports count them too.
REASONS: Final[dict[str, str | Promise]] = {
    "too_expensive": gettext_lazy("It is too expensive"),
    "missing_features": gettext_lazy("Something I need is missing"),
    "switched_service": gettext_lazy("I am moving to another product"),
    "unused": gettext_lazy("I do not use it enough"),
    "customer_service": gettext_lazy("Support did not help"),
    "too_complex": gettext_lazy("It is too complicated"),
    "low_quality": gettext_lazy("It does not work well enough"),
    "other": gettext_lazy("Another reason"),
}


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """What cancelling would do: when, to which plan, and what is lost with it."""

    plan: SubscriptionPlan
    falls_to: SubscriptionPlan
    at_once: bool
    ends_at: datetime
    consequences: Consequences
    asks_reason: bool


def preview(organization: Organization) -> Leaving:
    """Raises NotSubscribed, and NothingToChange where the end is scheduled already."""
    held = _held(organization)
    policy = catalog.current().cancellation_of(held.plan_key)
    falls_to = _default_plan()
    return Leaving(
        plan=held.price.plan,
        falls_to=falls_to,
        at_once=policy.when == "at_once",
        ends_at=_ends_at(organization, held, policy),
        consequences=consequences.between(
            organization,
            consequences.terms_of(held),
            Terms(plan=falls_to, seats=1),
        ),
        asks_reason=policy.ask_reason,
    )


def cancel(
    organization: Organization, person: User, *, reason: str = "", comment: str = ""
) -> datetime:
    """Ends the subscription by the catalogue's policy; returns when. Open even while locked.

    An open invoice stays owed: leaving does not pay it.
    """
    ports.usage().settle_overage(organization)  # the last invoice may be written now
    return _cancel(organization, person, reason=reason, comment=comment)


@transaction.atomic
def _cancel(organization: Organization, person: User, *, reason: str, comment: str) -> datetime:
    holding.lock(organization)
    held = _held(organization)
    policy = catalog.current().cancellation_of(held.plan_key)
    ends_at = _ends_at(organization, held, policy)
    changes.release_schedule(held)
    if policy.when == "at_once":
        _end_now(held, policy, _details(reason, comment))
    else:
        stripe_api.update_subscription(
            held.subscription.stripe_id,
            {"cancel_at_period_end": True, "cancellation_details": _details(reason, comment)},
            key=f"cancel:{uuid4().hex}",
        )
    audit.record(
        "billing.cancelled",
        organization=organization,
        actor=person,
        target=held.plan_key,
        after={"ends_at": ends_at.isoformat(), "reason": reason or None},
    )
    holding.bring_up_to_date(organization, cause="cancelled")
    return ends_at


def _held(organization: Organization) -> Holding:
    held = holding.of(organization)
    if held.subscription.ends_at is not None:
        raise NothingToChange(_("The subscription is cancelled already."))
    return held


def _default_plan() -> SubscriptionPlan:
    sold = catalog.current()
    found: SubscriptionPlan = (
        SubscriptionPlan.objects.of_catalog(sold.key).with_key(sold.default_plan).on_sale().get()
    )
    return found


def _ends_at(organization: Organization, held: Holding, policy: Cancellation) -> datetime:
    now = clock.now_for(organization)
    return now if policy.when == "at_once" else held.subscription.current_period_end or now


def _end_now(held: Holding, policy: Cancellation, details: dict[str, str]) -> None:
    """A prorated refund becomes credit of the customer, as Stripe does it.

    Usage that was not invoiced yet is, or it would be lost.
    """
    returns = policy.refund == "prorated"
    invoices = returns or bool(held.metered)
    stripe_api.end_subscription(
        held.subscription.stripe_id,
        {"prorate": returns, "invoice_now": invoices, "cancellation_details": details},
        key=f"cancel:{uuid4().hex}",
    )


def _details(reason: str, comment: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if reason in REASONS:
        found["feedback"] = reason
    if comment.strip():
        found["comment"] = comment.strip()[:500]
    return found
