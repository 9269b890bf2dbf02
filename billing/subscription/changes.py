"""Another plan, interval or number of seats for a running subscription, by the catalogue's policy.

At once Stripe prorates (https://docs.stripe.com/billing/subscriptions/prorations); at the end of
the period a subscription schedule does it, which is shown and can be undone until then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.utils.translation import gettext as _

from billing import ports
from billing.entitlement import access
from billing.exceptions import NothingToChange, StripeRefused
from billing.gateway import stripe_api
from billing.gateway.stripe_api import CardDeclined, Missing
from billing.models import PlanPrice, SubscriptionPlan
from billing.subscription import holding, items, preview, quotes, wishes
from billing.subscription.holding import Coming, Holding
from billing.subscription.quotes import Quote
from billing.subscription.wishes import Target, Wish
from orgs import audit
from orgs.models import Organization, User


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What was done: `at_once`, or scheduled for `effective_at`.

    `confirm_url` is where the bank wants the payment confirmed; until then nothing is done.
    `replaces` was scheduled and will not happen any more.
    """

    plan: SubscriptionPlan
    interval: str
    seats: int
    addons: Mapping[str, int]
    at_once: bool
    effective_at: datetime | None
    confirm_url: str = ""
    replaces: Coming | None = None


def confirm(organization: Organization, person: User, token: str) -> Changed:
    """Does what a preview showed, for the price that it showed.

    Raises QuoteExpired when the subscription changed meanwhile; the same quote twice is one change.
    """
    quote, basis = quotes.read(organization, token)
    ports.usage().settle_overage(organization)
    return _carry_out(organization, person, quote, basis)


def change(organization: Organization, person: User, wish: Wish) -> Changed:
    """Without a preview: at the price of this moment."""
    ports.usage().settle_overage(organization)
    held = holding.of(organization)
    moment = preview.moment_of(organization, held)
    return _carry_out(organization, person, quotes.fresh(wish, int(moment.timestamp())), None)


def keep(organization: Organization, person: User) -> None:
    """Undoes what is scheduled: another plan, fewer seats, or the end of the subscription.

    Raises NotSubscribed, and NothingToChange when nothing is scheduled.
    """
    with transaction.atomic():
        holding.lock(organization)
        held = holding.of(organization)
        schedule, ends_at = held.subscription.scheduled, held.subscription.ends_at
        if "at" not in schedule and ends_at is None:
            raise NothingToChange(_("Nothing is scheduled."))
        release_schedule(held)
        if ends_at is not None:
            stripe_api.update_subscription(
                held.subscription.stripe_id,
                without_end(held),
                key=f"keep:{uuid4().hex}",
            )
        audit.record(
            "billing.change_undone",
            organization=organization,
            actor=person,
            target=held.plan_key,
            before={"scheduled": schedule or None, "ends_at": _iso(ends_at)},
        )
        holding.bring_up_to_date(organization, cause="change undone")


def release_schedule(held: Holding) -> None:
    schedule_id = held.subscription.scheduled.get("schedule")
    if not schedule_id:
        return
    try:
        stripe_api.release_schedule(schedule_id)
    except Missing:  # it has turned or was released already
        return


def without_end(held: Holding) -> dict[str, Any]:
    """The portal may end a subscription by either field; each has its own way back."""
    if held.subscription.cancel_at_period_end:
        return {"cancel_at_period_end": False}
    return {"cancel_at": ""} if held.subscription.cancel_at else {}


def _carry_out(
    organization: Organization, person: User, quote: Quote, basis: list[Any] | None
) -> Changed:
    """What Stripe refuses may be due to something that we did not know yet: then we know it."""
    try:
        return _carry_out_locked(organization, person, quote, basis)
    except StripeRefused:
        holding.bring_up_to_date(organization, cause="change refused")
        raise


@transaction.atomic
def _carry_out_locked(
    organization: Organization, person: User, quote: Quote, basis: list[Any] | None
) -> Changed:
    holding.lock(organization)
    held = holding.of(organization)
    try:
        target = wishes.target_of(organization, held, quote.wish)
    except NothingToChange:
        if basis is None or quotes.still_holds(held, basis):
            raise
        return _done_already(held)
    if basis is not None and not quotes.still_holds(held, basis):
        raise quotes.expired()
    access.check_paid_action(organization)
    confirm_url = ""
    if target.at_once:
        confirm_url = _change_now(held, target, quote)
    else:
        _schedule(held, target, quote)
    _record(organization, person, held, target, waits=bool(confirm_url))
    holding.bring_up_to_date(organization, cause="plan changed")
    effective_at = None if target.at_once else held.subscription.current_period_end
    return Changed(
        plan=target.price.plan,
        interval=target.price.interval,
        seats=target.seats,
        addons=target.addons,
        at_once=target.at_once,
        effective_at=effective_at,
        confirm_url=confirm_url,
        replaces=wishes.replaced_by(target, quote.wish, held),
    )


def _done_already(held: Holding) -> Changed:
    """The second click of a double click."""
    return Changed(
        plan=held.price.plan,
        interval=held.price.interval,
        seats=held.seats,
        addons={key: item["quantity"] for key, (item, _extra) in held.packs.items()},
        at_once=True,
        effective_at=None,
    )


def _change_now(held: Holding, target: Target, quote: Quote) -> str:
    """A declined card changes nothing: no plan is given that nobody has paid for.

    Who chooses another plan or interval stays; more seats alone take no cancellation back. Returns
    where the payment waits for its payer's bank, mostly nowhere.
    """
    release_schedule(held)
    behaviour = preview.STRIPES_WORD[target.transition.proration]
    params: dict[str, Any] = {
        "items": preview.items_of(held, target),
        "proration_behavior": behaviour,
        **(without_end(held) if target.price.pk != held.price.pk else {}),
    }
    if behaviour != "none":
        params["proration_date"] = quote.moment
    if held.subscription.collection_method != "send_invoice":
        params["payment_behavior"] = "error_if_incomplete"
    try:
        stripe_api.update_subscription(
            held.subscription.stripe_id, params, key=f"change:{quote.nonce}"
        )
    except CardDeclined as refusal:
        if not refusal.wants_confirmation:
            _schedule_again(held, target, quote)
            raise
        return _wait_for_bank(held, params, quote)
    return ""


def _schedule_again(held: Holding, target: Target, quote: Quote) -> None:
    """A change at once has released what was scheduled; when it fails that is due as before."""
    coming = held.coming
    if coming is None:
        return
    before = replace(target, price=coming.price, seats=coming.seats, addons=coming.packs)
    held.subscription.scheduled = {}
    _schedule(held, before, replace(quote, nonce=f"{quote.nonce}:again"))


def _wait_for_bank(held: Holding, params: dict[str, Any], quote: Quote) -> str:
    """The same change as a pending update: Stripe makes it when its invoice is paid.

    Such an update takes no cancellation back; that stays the owner's own act.
    """
    waiting: dict[str, Any] = {
        name: params[name]
        for name in ("items", "proration_behavior", "proration_date")
        if name in params
    }
    changed = stripe_api.update_subscription(
        held.subscription.stripe_id,
        {**waiting, "payment_behavior": "pending_if_incomplete", "expand": ["latest_invoice"]},
        key=f"confirm:{quote.nonce}",
    )
    invoice = changed["latest_invoice"] if changed["pending_update"] else {}
    return str(invoice.get("hosted_invoice_url") or "")


def _schedule(held: Holding, target: Target, quote: Quote) -> None:
    """Two phases: what is, to the end of the period; then what was chosen."""
    if held.subscription.ends_at is not None:
        stripe_api.update_subscription(
            held.subscription.stripe_id, without_end(held), key=f"stay:{quote.nonce}"
        )
    schedule = _open_schedule(held, quote)
    running = schedule["current_phase"] or {}
    discounts = [{"discount": one["id"]} for one in held.subscription.discounts]
    shared: dict[str, Any] = {"discounts": discounts} if discounts else {}
    now = {
        "items": [_phase_item(item) for item in held.subscription.items],
        "start_date": running["start_date"],
        "end_date": running["end_date"],
        "proration_behavior": "none",
        **shared,
    }
    then = {
        "items": items.afterwards(held, target.price, target.seats, target.addons),
        "duration": {"interval": target.price.interval, "interval_count": 1},
        "proration_behavior": "none",
        **shared,
    }
    stripe_api.update_schedule(
        schedule["id"],
        {"phases": [now, then], "end_behavior": "release", "proration_behavior": "none"},
        key=f"phases:{quote.nonce}",
    )


def _open_schedule(held: Holding, quote: Quote) -> dict[str, Any]:
    known = held.subscription.scheduled.get("schedule")
    if known:
        return stripe_api.retrieve_schedule(known)
    return stripe_api.create_schedule(held.subscription.stripe_id, key=f"schedule:{quote.nonce}")


def _phase_item(item: dict[str, Any]) -> dict[str, Any]:
    counted = {} if item["metered"] else {"quantity": item["quantity"]}
    return {"price": item["price"], **counted}


def _record(
    organization: Organization, person: User, held: Holding, target: Target, *, waits: bool
) -> None:
    done = "billing.plan_changed" if target.at_once else "billing.change_scheduled"
    audit.record(
        "billing.change_awaits_bank" if waits else done,
        organization=organization,
        actor=person,
        target=target.price.plan.key,
        before=_terms(held.price, held.seats, wishes.held_packs(held)),
        after=_terms(target.price, target.seats, target.addons),
    )


def _terms(price: PlanPrice, seats: int, packs: Mapping[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {"plan": price.plan.key, "interval": price.interval, "seats": seats}
    return found | ({"addons": dict(packs)} if packs else {})


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
