"""What a catalogue decides about money, access and time, as data and never as code."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from billing.catalog.values import (
    Bool,
    Currency,
    Entry,
    EnvName,
    Int,
    Interval,
    Key,
    NotEmpty,
    Price,
    Text,
)

Days = Annotated[Int, Field(ge=0, le=366)]
Access = Literal["full", "restricted", "read_only"]
Grants = Literal["full", "restricted", "read_only", "none"]
SubscriptionStatus = Literal[
    "incomplete",
    "incomplete_expired",
    "trialing",
    "active",
    "past_due",
    "canceled",
    "unpaid",
    "paused",
]
STATUSES: tuple[SubscriptionStatus, ...] = (
    "incomplete",
    "incomplete_expired",
    "trialing",
    "active",
    "past_due",
    "canceled",
    "unpaid",
    "paused",
)
EnforcementMode = Literal["disabled", "observe", "enforce"]
When = Literal["at_once", "period_end"]
Proration = Literal["charge_now", "next_invoice", "none"]
OverLimit = Literal["block_new", "stop_surplus", "freeze_newest", "owner_chooses", "flag"]


class Tax(Entry):
    """Region-specific tax is Stripe's work; the catalogue says what kind of thing is sold."""

    automatic: Bool
    code: Annotated[str, Field(pattern=r"^txcd_\d{8}$")]
    behavior: Literal["exclusive", "inclusive"] = "exclusive"
    collect_ids: Bool = True


class Checkout(Entry):
    billing_address: Literal["required", "auto"] = "required"
    promotion_codes: Bool = True
    # Self-serve Checkout in live mode stays off until a live smoke run is on file.
    needs_live_smoke: Bool = False


class Cancellation(Entry):
    when: When = "period_end"
    refund: Literal["none", "prorated"] = "none"
    ask_reason: Bool = True


class Portal(Entry):
    """What Stripe's customer portal offers. Plan changes may stay on our own pages."""

    payment_methods: Bool = True
    invoices: Bool = True
    billing_details: Bool = True
    cancel: Bool = True
    change_plan: Bool = False
    change_seats: Bool = False
    promotion_codes: Bool = False


class Trial(Entry):
    """A grant of ours without a Stripe subscription, unless `stripe` asks for Stripe's own."""

    days: Annotated[Int, Field(ge=1, le=366)]
    card: Bool = False
    stripe: Bool = False
    once_per: tuple[Literal["person", "organization", "card"], ...] = ("person", "organization")
    # What Stripe does at the end of its own trial where nobody has added a card.
    without_card: Literal["cancel", "pause"] = "cancel"
    reminder_days: tuple[Days, ...] = (3, 1)
    assumed: Bool = False

    @model_validator(mode="after")
    def _a_card_needs_stripe(self) -> Self:
        if self.card and not self.stripe:
            raise ValueError("a trial with a card is Stripe's own: set stripe = true")
        return self


class Dunning(Entry):
    """Grace runs from the oldest open failed invoice's `finalized_at` (`due_date` when sent)."""

    grace_days: Days
    access_during_grace: Literal["full", "restricted"]
    at_end: Literal["lock", "downgrade"]
    # With `downgrade`: the unpaid subscription is cancelled at Stripe as well.
    cancel_at_stripe: Bool = False
    lost_dispute: Literal["flag", "lock", "downgrade"] = "flag"
    # What giving the payment of the present period back does to the plan that it paid for.
    full_refund: Literal["keep", "end"] = "keep"
    partial_refund: Literal["keep", "end"] = "keep"
    # Meters whose new use stops already during grace, whatever the access.
    refused_during_grace: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _only_a_downgrade_cancels(self) -> Self:
        if self.cancel_at_stripe and self.at_end != "downgrade":
            raise ValueError('cancel_at_stripe belongs to at_end = "downgrade"')
        return self


class StatusRule(Entry):
    """What one of Stripe's subscription statuses grants, before grace and lock cap it."""

    grants: Grants
    # What `plan_active` says of it; it grants nothing by itself.
    active: Bool
    # The word that people and the API see; Stripe's own unless the document has another.
    word: NotEmpty | None = None


class Statuses(Entry):
    """Every status that Stripe has, so that none is decided by forgetting it."""

    incomplete: StatusRule
    incomplete_expired: StatusRule
    trialing: StatusRule
    active: StatusRule
    past_due: StatusRule
    canceled: StatusRule
    unpaid: StatusRule
    paused: StatusRule
    # The word where there is no subscription at all.
    without_subscription: NotEmpty = "none"
    # Whether `plan_active` says yes of the plan that everybody has.
    default_plan_active: Bool = True
    # The word for one that is cancelled and runs on to the end of its period.
    ending: NotEmpty | None = None

    @model_validator(mode="after")
    def _what_is_not_paid_for_grants_nothing(self) -> Self:
        for status in ("incomplete", "incomplete_expired", "canceled"):
            if self.rule(status).grants != "none":
                raise ValueError(f'{status} must say grants = "none": its money never came')
        return self

    def rule(self, status: str) -> StatusRule:
        """A status that Stripe may add later grants nothing until the catalogue knows it."""
        if status not in STATUSES:
            return StatusRule(grants="none", active=False, word=status)
        rule: StatusRule = getattr(self, status)
        return rule

    def word(self, status: str | None, *, ending: bool = False) -> str:
        """`ending`: cancelled, yet running to the end of its period."""
        if status is None:
            return self.without_subscription
        rule = self.rule(status)
        if ending and self.ending and rule.grants != "none":
            return self.ending
        return rule.word or status


class TransitionRule(Entry):
    """Overrides the default for one pair of plans, in this direction only."""

    source: Annotated[Key, Field(alias="from")]
    target: Annotated[Key, Field(alias="to")]
    when: When
    proration: Proration = "charge_now"


class Transition(Entry):
    when: When
    proration: Proration


class Transitions(Entry):
    upgrade: Transition
    downgrade: Transition
    to_yearly: Transition = Transition(when="at_once", proration="charge_now")
    to_monthly: Transition = Transition(when="period_end", proration="none")
    more_seats: Transition = Transition(when="at_once", proration="charge_now")
    fewer_seats: Transition = Transition(when="period_end", proration="none")
    more_packs: Transition = Transition(when="at_once", proration="charge_now")
    fewer_packs: Transition = Transition(when="period_end", proration="none")
    rules: tuple[TransitionRule, ...] = ()


class Enforcement(Entry):
    default: EnforcementMode
    meters: Mapping[Key, EnforcementMode] = {}
    # Switching to `enforce` needs every organization classified and evidence attached.
    needs_classification: Bool = False


class Beta(Entry):
    """While a required variable is missing and nothing was ever sold, every feature is on."""

    enabled: Bool = False
    required_env: tuple[EnvName, ...] = ()

    @model_validator(mode="after")
    def _beta_ends_when_something_is_set(self) -> Self:
        if self.enabled and not self.required_env:
            raise ValueError("beta needs required_env: the variables whose absence turns it on")
        return self


class Licence(Entry):
    """Self-hosted installs may need a licence key; where one is required it wins over beta."""

    supported: Bool = False
    required: Bool = False
    # An installation may require it by this variable (the Helm chart does).
    required_env: EnvName | None = None
    expiry_grace_days: Days = 14


class EnvPrice(Entry):
    """Which price an environment variable of the source document names."""

    plan: Key
    interval: Interval
    currency: Currency


class Environment(Entry):
    # The document's own variable name → ours.
    aliases: Mapping[EnvName, EnvName] = {}
    prices: Mapping[EnvName, EnvPrice] = {}


class Organizations(Entry):
    """Personal and organization billing side by side."""

    # The founder's Stripe customer and subscription move to the organization that they make.
    founder_customer_moves: Bool = False
    # Whether somebody in a team may pay for a plan of their own beside it.
    members_buy_own_plans: Bool = True
    # Closing an organization asks Stripe to delete its customer.
    delete_customer_when_closed: Bool = False


class Credit(Entry):
    """A promotional code that becomes a customer balance transaction, once per code."""

    amounts: Mapping[Currency, Price]
    once_per: Literal["organization", "installation"] = "organization"


class Promotions(Entry):
    """Stripe's promotion codes, and our own codes that credit the customer's balance."""

    stripe_codes: Bool = True
    credits: Mapping[Annotated[str, Field(pattern=r"^[A-Z0-9]{3,40}$")], Credit] = {}


class Contracts(Entry):
    """Terms that sales may agree to for plans by contract."""

    net_days: tuple[Days, ...] = (30,)
    purchase_orders: Bool = True
    documents: tuple[NotEmpty, ...] = ()
    # Days before the end of a contract, a pilot or an override on which people are reminded.
    reminder_days: tuple[Days, ...] = (30, 7, 1)


class Mail(Entry):
    """Which mails and notices leave; each once."""

    welcome: Bool = True
    receipt: Bool = True
    payment_failed: Bool = True
    grace_ending: Bool = True
    locked: Bool = True
    unlocked: Bool = True
    downgraded: Bool = True
    trial_ending: Bool = True
    grant_ending: Bool = True
    limit_approaching: Bool = True
    limit_reached: Bool = True
    invitation: Bool = True
    ownership: Bool = True


class Alerts(Entry):
    thresholds: tuple[Annotated[Int, Field(ge=1, le=100)], ...] = (75, 90, 100)


class Contacts(Entry):
    sales: NotEmpty
    support: NotEmpty


class MatrixGroup(Entry):
    """Rows of the plan table; each names a meter or a feature."""

    name: Text
    rows: tuple[Key, ...]
