"""What a change would cost and change, asked of Stripe and computed by nobody else (D12)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from billing import ports
from billing.catalog.policies import Proration
from billing.entitlement import clock
from billing.gateway import stripe_api
from billing.models import PlanPrice, SubscriptionPlan
from billing.subscription import (
    consequences,
    holding,
    items,
    packs,
    quotes,
    receipts,
    wishes,
)
from billing.subscription.consequences import Consequences, Terms
from billing.subscription.holding import Coming, Holding
from billing.subscription.receipts import Receipt
from billing.subscription.wishes import Target, Wish
from orgs.models import Organization

STRIPES_WORD: Final[dict[Proration, str]] = {
    "charge_now": "always_invoice",
    "next_invoice": "create_prorations",
    "none": "none",
}


@dataclass(frozen=True, kw_only=True)
class NextInvoice:
    at: datetime
    receipt: Receipt


@dataclass(frozen=True, kw_only=True)
class Preview:
    """`today` is None where nothing is charged now; `quote` confirms exactly what is shown."""

    plan: SubscriptionPlan
    price: PlanPrice
    seats: int
    addons: Mapping[str, int]
    at_once: bool
    effective_at: datetime
    today: Receipt | None
    next_invoice: NextInvoice
    consequences: Consequences
    # A cancellation that the change takes back.
    stays: bool
    # A scheduled change that will not happen any more.
    replaces: Coming | None
    quote: str

    @property
    def due_today(self) -> int:
        return self.today.due if self.today is not None else 0


def of_change(organization: Organization, wish: Wish) -> Preview:
    """Raises NotSubscribed, what `wishes.target_of` raises, and Stripe's troubles."""
    ports.usage().settle_overage(organization)  # usage so far may be on today's invoice
    held = holding.of(organization)
    target = wishes.target_of(organization, held, wish)
    moment = moment_of(organization, held)
    quote = quotes.fresh(wish, int(moment.timestamp()))
    charges = target.at_once and target.transition.proration == "charge_now"
    return Preview(
        plan=target.price.plan,
        price=target.price,
        seats=target.seats,
        addons=target.addons,
        at_once=target.at_once,
        effective_at=moment if target.at_once else _end_of_period(held, moment),
        today=receipts.read(_ask(held, target, quote.moment)) if charges else None,
        next_invoice=_next_invoice(held, target, quote.moment),
        consequences=consequences.between(
            organization,
            consequences.terms_of(held),
            Terms(
                plan=target.price.plan,
                seats=target.seats,
                added=packs.units(held, target.addons),
            ),
        ),
        stays=held.subscription.ends_at is not None
        and not (target.at_once and target.price.pk == held.price.pk),
        replaces=wishes.replaced_by(target, wish, held),
        quote=quotes.sign(organization, held, quote),
    )


def items_of(held: Holding, target: Target) -> list[dict[str, Any]]:
    return items.changed(held, target.price, target.seats, target.addons)


def moment_of(organization: Organization, held: Holding) -> datetime:
    """Now, in the organization's own time; never before the period that is prorated."""
    now = clock.now_for(organization).replace(microsecond=0)
    start = held.subscription.current_period_start
    return now if start is None else max(now, start)


def _end_of_period(held: Holding, moment: datetime) -> datetime:
    return held.subscription.current_period_end or moment


def _ask(held: Holding, target: Target, moment: int) -> dict[str, Any]:
    return stripe_api.preview_invoice(
        {
            "subscription": held.subscription.stripe_id,
            "subscription_details": {
                "items": items_of(held, target),
                "proration_behavior": STRIPES_WORD[target.transition.proration],
                "proration_date": moment,
            },
        }
    )


def _next_invoice(held: Holding, target: Target, moment: int) -> NextInvoice:
    """The renewal after the change; a new interval that begins now renews when it is over."""
    behaviour = target.transition.proration
    waits = target.at_once and behaviour == "next_invoice"
    details: dict[str, Any] = {
        "items": items_of(held, target),
        "proration_behavior": STRIPES_WORD["next_invoice" if waits else "none"],
    }
    if waits:
        details["proration_date"] = moment
    invoice = stripe_api.preview_invoice(
        {"subscription": held.subscription.stripe_id, "subscription_details": details}
    )
    restarts = target.at_once and target.price.interval != held.price.interval
    at = receipts.covered_until(invoice) if restarts else held.subscription.current_period_end
    fallback = datetime.fromtimestamp(moment, tz=UTC)
    return NextInvoice(at=at or fallback, receipt=receipts.read(invoice))
