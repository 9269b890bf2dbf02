"""Whole lives of a subscription: what owners, banks, Stripe and time do to one organization.

A life is lived once over the simulator, and every event is told as soon as it happens. What Stripe
looked like after each step is kept, so that the same life can be told again in any other way.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

import stripe as sdk
from django.core import mail
from django.db import connection

from billing import tasks
from billing.entitlement import clock
from billing.gateway import stripe_api
from billing.messages import outbox, transitions
from billing.models import (
    Access,
    EffectivePlan,
    Invoice,
    OutboxMessage,
    Source,
)
from billing.subscription import cancellation, changes, customers, promotions, trials
from billing.subscription.wishes import Wish
from orgs.exceptions import DomainError
from orgs.models import Organization
from quotas.engine import enforcement
from quotas.reading import usage
from tests.billing.outcomes import outcome
from tests.billing.stripe_events import Stripe
from tests.factories.orgs import OrganizationFactory, owner_of
from tests.stripe_simulator.client import Refused

Json = dict[str, Any]
Step = tuple[str, Any]

HOUR, DAY = 3600, 86_400
CODE: Final = "LIFE20"
# Whoever is refused goes on living.
_REFUSALS: Final = (DomainError, sdk.StripeError, Refused)
_DERIVED: Final = (
    "billing_inboxevent", "billing_outboxmessage", "billing_subscription", "billing_invoice",
    "billing_paymentmethod", "billing_effectiveplan", "billing_effectiveplanchange",
)  # fmt: skip


def forget() -> None:
    """Nothing that Stripe ever told is known any more; what organizations did themselves is."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables"
            " WHERE tablename LIKE 'djstripe_%' AND tablename <> 'djstripe_account'"
        )
        mirrored = [name for (name,) in cursor.fetchall()]
        # Few of them hold any rows: to delete those is cheaper than to truncate all.
        deletes = "; ".join(f"DELETE FROM {name}" for name in (*mirrored, *_DERIVED))  # noqa: S608
        cursor.execute(f"SET session_replication_role = replica; {deletes}")
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("UPDATE billing_billingaccount SET synced_at = NULL, currency = ''")


# --- Living -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """After one step: what Stripe looks like, and the events that the step has caused."""

    photograph: int
    events: list[Json]


@dataclass(frozen=True)
class Ending:
    """What must not depend on how a life was told, and what was mailed on the way."""

    rows: Json
    readings: list[tuple[Any, ...]]
    receipts: set[str]
    failed_and_open: set[str]
    mailed: Counter[str]


@dataclass
class Life:
    """One organization with its owner, its customer and its test clock."""

    stripe: Stripe
    organization: Organization = field(default_factory=OrganizationFactory.create)
    stages: list[Stage] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    steps: list[Step] = field(default_factory=list)
    card_fails: bool = False

    def __post_init__(self) -> None:
        self._known = {event["id"] for event in self.stripe.simulator.events()}
        account = customers.ensure(self.organization)
        self.customer = account.stripe_customer_id or ""
        self.began = account.frozen_at
        self.owner = owner_of(self.organization)
        self._witness = Witness(self.organization)
        events = self._news()
        self.stripe.deliver(events)
        self._photograph(events)

    def live(self, steps: Iterable[Step]) -> Ending:
        """Every step, and everything that Stripe tells of it at once and in order."""
        for name, value in steps:
            self.steps.append((name, value))
            self.done[self._step(name, value)] += 1
            events = self._news()
            self.stripe.deliver(events)
            self._witness.let_time_pass()
            tasks.end_unpaid_subscriptions()
            self._photograph(events)
        later = self._news()
        self.stripe.deliver(later)
        self._photograph(later)
        return self._witness.ending()

    def now(self) -> datetime:
        return clock.now_for(self.organization)

    def _step(self, name: str, value: Any) -> str:
        try:
            STEPS[name](self, value)
        except _REFUSALS:
            return f"{name} (refused)"
        return name

    def subscription(self) -> Json:
        """The newest that Stripe has not ended; raises DomainError where there is none."""
        standing = [
            one
            for one in self.stripe.simulator.state("subscription")
            if one["customer"] == self.customer and one["status"] not in _ENDED
        ]
        if not standing:
            raise DomainError("nothing to change")
        return standing[-1]

    def owed(self) -> Json:
        found = [
            one
            for one in self.stripe.simulator.state("invoice")
            if one["customer"] == self.customer and one["status"] == "open"
        ]
        if not found:
            raise DomainError("nothing to pay")
        return found[0]

    def _news(self) -> list[Json]:
        events = [one for one in self.stripe.simulator.events() if one["id"] not in self._known]
        self._known |= {one["id"] for one in events}
        return events

    def _photograph(self, events: list[Json]) -> None:
        self.stages.append(Stage(self.stripe.simulator.photograph(), events))


_ENDED: Final = {"canceled", "incomplete_expired"}


@dataclass
class Witness:
    """Lets beat and outbox do their work, and checks every mail at the moment when it left."""

    organization: Organization
    mailed: Counter[str] = field(default_factory=Counter)

    def let_time_pass(self) -> None:
        transitions.make_due_changes_visible()
        transitions.remind()
        mail.outbox.clear()
        outbox.deliver_due()
        fresh = OutboxMessage.objects.filter(state=OutboxMessage.State.SENT).exclude(
            once_per__in=self.mailed
        )
        sent = list(fresh.select_related("organization"))
        assert len(mail.outbox) == len(sent), "one letter for each message, and no other"
        for message in sent:
            assert _is_true(message), f"{message.once_per} was false when it was sent"
            self.mailed[message.once_per] += 1

    def ending(self) -> Ending:
        self.let_time_pass()
        owed = Invoice.objects.filter(organization=self.organization, status="open")
        still = set(owed.values_list("stripe_id", flat=True))
        return Ending(
            rows=outcome(self.organization),
            readings=_readings(self.organization),
            receipts={key for key in self.mailed if key.startswith("mail.receipt:")},
            failed_and_open={
                key
                for key in self.mailed
                if key.startswith("mail.payment_failed:") and key.rpartition(":")[2] in still
            },
            mailed=self.mailed,
        )


def _is_true(message: OutboxMessage) -> bool:
    """By our own rows at this moment, in words of this test."""
    kind = message.kind.removeprefix("mail.")
    row = EffectivePlan.objects.select_related("plan").get(organization=message.organization)
    owed = Invoice.objects.filter(
        stripe_id=message.payload.get("invoice"), status__in=["open", "uncollectible"]
    )
    holds: dict[str, Callable[[], bool]] = {
        "locked": lambda: row.access == Access.READ_ONLY,
        "unlocked": lambda: row.access != Access.READ_ONLY,
        "downgraded": lambda: row.plan.key == message.payload["plan"],
        "payment_failed": owed.exists,
        "grace_ending": lambda: clock.now_for(row.organization) < row.grace_ends_at,
        "trial_ending": lambda: row.source == Source.TRIAL,
    }
    return holds.get(kind, lambda: True)()


def _readings(organization: Organization) -> list[tuple[Any, ...]]:
    """Balances beside the limits of the verdict."""
    return [
        (one.key, one.used, one.held, one.limit, one.hard, one.refusal, one.per_member)
        for one in usage.of(organization).readings
    ]


# --- What can happen --------------------------------------------------------------------------


def _checkout(life: Life, order: Json) -> None:
    wanted = {name: value for name, value in order.items() if name != "card"}
    intent = life.stripe.start_checkout(life.organization, **wanted)
    life.stripe.pay(intent, order["card"])


def _abandon(life: Life, order: Json) -> None:
    intent = life.stripe.start_checkout(life.organization, **order)
    life.stripe.simulator.expire_checkout(intent.session_id or "")


def _seats(life: Life, seats: int) -> None:
    changes.change(life.organization, life.owner, Wish(seats=seats))


def _interval(life: Life, interval: str) -> None:
    changes.change(life.organization, life.owner, Wish(interval=interval))


def _plan(life: Life, plan: str) -> None:
    changes.change(life.organization, life.owner, Wish(plan_key=plan))


def _cancel(life: Life, reason: str) -> None:
    cancellation.cancel(life.organization, life.owner, reason=reason)


def _cancel_by_date(life: Life, days: int) -> None:
    """As somebody at Stripe's dashboard may."""
    now = int(clock.now_for(life.organization).timestamp())
    _change(life, {"cancel_at": now + days * DAY})


def _end_now(life: Life, _: None) -> None:
    stripe_api.cancel_subscription(life.subscription()["id"], key=uuid4().hex)


def _keep(life: Life, _: None) -> None:
    changes.keep(life.organization, life.owner)


def _promotion(life: Life, code: str) -> None:
    promotions.apply(life.organization, life.owner, code)


def _trial(life: Life, plan: str) -> None:
    trials.start(life.organization, life.owner, plan)


def _hours(life: Life, hours: int) -> None:
    life.stripe.simulator.advance(customer=life.customer, by_seconds=hours * HOUR)


def _card(life: Life, behaviour: str | None) -> None:
    life.stripe.simulator.set_card(life.customer, behaviour)
    life.card_fails = behaviour is not None


def _pay(life: Life, _: None) -> None:
    stripe_api.client().v1.invoices.pay(life.owed()["id"])


def _void(life: Life, _: None) -> None:
    stripe_api.client().v1.invoices.void_invoice(life.owed()["id"])


def _write_off(life: Life, _: None) -> None:
    stripe_api.client().v1.invoices.mark_uncollectible(life.owed()["id"])


def _refund(life: Life, amount: int) -> None:
    charges = stripe_api.client().v1.charges.list({"customer": life.customer}).data
    paid = [one for one in charges if one.paid and one.amount_refunded < one.amount]
    if paid:
        rest = paid[0].amount - paid[0].amount_refunded
        how: Any = {"charge": paid[0].id, "amount": min(amount, rest)}
        stripe_api.client().v1.refunds.create(how)


def _dispute(life: Life, _: None) -> None:
    life.stripe.simulator.dispute(life.customer)


def _judge(life: Life, outcome: str) -> None:
    """The bank decides the first dispute that is open."""
    ours = {one.id for one in stripe_api.client().v1.charges.list({"customer": life.customer})}
    for dispute in life.stripe.simulator.state("dispute"):
        if dispute["charge"] in ours and dispute["status"] not in {"won", "lost"}:
            life.stripe.simulator.close_dispute(dispute["id"], outcome)
            return


def _second(life: Life, _: None) -> None:
    """Somebody makes another subscription at Stripe's dashboard."""
    present = life.subscription()
    (item, *_more) = (
        stripe_api.client().v1.subscription_items.list({"subscription": present["id"]}).data
    )
    how: Any = {
        "customer": life.customer,
        "items": [{"price": item.price.id, "quantity": item.quantity}],
        "default_payment_method": present["default_payment_method"],
    }
    stripe_api.client().v1.subscriptions.create(how)


def _pause(life: Life, paused: bool) -> None:
    _change(life, {"pause_collection": {"behavior": "void"} if paused else ""})


def _another_card(life: Life, _: None) -> None:
    client = stripe_api.client().v1
    method = client.payment_methods.attach("pm_card_mastercard", {"customer": life.customer})
    how: Any = {"invoice_settings": {"default_payment_method": method.id}}
    client.customers.update(life.customer, how)


def _store(life: Life, amount: int) -> None:
    """A satellite keeps so many bytes; the ledger is our own, so no telling can change it."""
    enforcement.record(life.organization, _level_of(life), amount, idempotency_key=uuid4().hex)


def _level_of(life: Life) -> str:
    levels = [
        one.key
        for one in usage.of(life.organization).readings
        if one.kind == "level" and not one.per_member
    ]
    if not levels:
        raise DomainError("nothing is kept here")
    return levels[0]


def _change(life: Life, params: Json) -> None:
    stripe_api.update_subscription(life.subscription()["id"], params, key=uuid4().hex)


STEPS: Final[dict[str, Callable[[Life, Any], None]]] = {
    "checkout": _checkout,
    "abandon": _abandon,
    "seats": _seats,
    "interval": _interval,
    "plan": _plan,
    "cancel": _cancel,
    "cancel by date": _cancel_by_date,
    "end now": _end_now,
    "keep": _keep,
    "promotion": _promotion,
    "trial": _trial,
    "hours": _hours,
    "card": _card,
    "pay": _pay,
    "void": _void,
    "write off": _write_off,
    "refund": _refund,
    "dispute": _dispute,
    "judge": _judge,
    "second": _second,
    "pause": _pause,
    "another card": _another_card,
    "store": _store,
}
