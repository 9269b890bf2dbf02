"""The shape of a catalogue file. One schema serves every catalogue; no code knows their names."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from billing.catalog.policies import (
    Alerts,
    Beta,
    Cancellation,
    Checkout,
    Contacts,
    Contracts,
    Dunning,
    Enforcement,
    Environment,
    Licence,
    Mail,
    MatrixGroup,
    Organizations,
    OverLimit,
    Portal,
    Promotions,
    Proration,
    Statuses,
    Tax,
    Transition,
    TransitionRule,
    Transitions,
    Trial,
)
from billing.catalog.values import (
    Amount,
    Bool,
    Currency,
    Entry,
    FiniteAmount,
    Int,
    Interval,
    Key,
    Locale,
    NotEmpty,
    OneOffPrices,
    Per,
    Price,
    Prices,
    Rate,
    Text,
)

MeterKind = Literal["level", "flow", "rows", "ceiling"]
Reset = Literal["billing_period", "invoice_paid", "calendar_month", "day", "hour", "never"]
FeatureState = Literal["available", "planned"]
PlanKind = Literal["free", "paid", "contract"]
OrganizationKind = Literal["personal", "team"]


class Meter(Entry):
    """A thing that is counted."""

    kind: MeterKind
    name: Text
    unit: Text
    # What people read when the limit is reached.
    at_limit: Text
    display: Literal["count", "bytes", "duration", "millicores"] = "count"
    reset: Reset = "never"
    # Keys that a usage event may carry, with the longest value allowed: nothing else enters.
    dimensions: Mapping[Key, Annotated[Int, Field(ge=1, le=200)]] = {}
    # When PostgreSQL is away: refuse, or let the satellite's client spool and replay.
    when_away: Literal["refuse", "spool"] = "refuse"
    # What happens to what exceeds a lower limit after a downgrade.
    over_limit: OverLimit = "block_new"
    # A planned meter counts and is shown to system admins; it is never billed.
    state: FeatureState = "available"
    # The Redis key under which the source document publishes the reading; {organization}, {user}.
    cache_key: NotEmpty | None = None


class Feature(Entry):
    """A yes/no capability. A planned one is shown as planned and never granted."""

    name: Text
    state: FeatureState = "available"
    hint: Text | None = None


class PlanFeature(Entry):
    """`sso = true`, or a value and a text where the plan table says more than "included"."""

    value: Int | NotEmpty | None = None
    text: Text | None = None
    assumed: Bool = False

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if value is False:
            raise ValueError("a plan without the feature does not name it; true or a table")
        return {} if value is True else value


class Overage(Entry):
    """Soft usage above the amount is billed at a decimal rate of minor units per `per` units."""

    per: Annotated[Int, Field(ge=1, le=10**9)] = 1
    rates: Mapping[Currency, Rate]
    # What a period may cost at most unless the owner says otherwise; then the meter stops.
    cap: Mapping[Currency, Price] = {}
    assumed: Bool = False


class Limit(Entry):
    """`members = 5` is a hard limit of five; a table says more."""

    amount: Amount
    hard: Bool = True
    per: Per = "organization"
    overage: Overage | None = None
    # The amount is where contracts start; each agrees on its own.
    contract: Bool = False
    text: Text | None = None
    assumed: Bool = False

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"amount": value}


class Seats(Entry):
    """How many seats one may buy, and which meter of rows they are for."""

    min: Annotated[Int, Field(ge=1, le=100_000)] = 1
    max: Annotated[Int, Field(ge=1, le=100_000)] | None = None
    cover: Key | None = None
    # What happens to the row that has no seat: refused, or accepted and flagged to the owner.
    beyond: Literal["refuse", "flag"] = "flag"


class Plan(Entry):
    name: Text
    summary: Text
    kind: PlanKind
    audience: tuple[OrganizationKind, ...] = ("personal", "team")
    per_seat: Bool = False
    seats: Seats = Seats()
    prices: Prices = {}
    limits: Mapping[Key, Limit]
    # Features of that plan are features of this one too ("everything in Pro, plus").
    everything_in: Key | None = None
    features: Mapping[Key, PlanFeature] = {}
    trial: Trial | None = None
    # Where a plan differs from the catalogue's own policy.
    tax_code: Annotated[str, Field(pattern=r"^txcd_\d{8}$")] | None = None
    cancellation: Cancellation | None = None
    portal: Portal | None = None
    contract_text: Text | None = None

    def each_price(self) -> Iterator[tuple[Interval, str, Price]]:
        for interval, by_currency in self.prices.items():
            for currency, price in by_currency.items():
                yield interval, currency, price

    @property
    def intervals(self) -> tuple[Interval, ...]:
        return tuple(self.prices)


class Addon(Entry):
    """A recurring pack that raises a limit: one more item of the same subscription."""

    name: Text
    meter: Key
    amount: FiniteAmount
    plans: tuple[Key, ...]
    prices: Prices
    max_quantity: Annotated[Int, Field(ge=1, le=10_000)] = 100


class CreditPack(Entry):
    """Prepaid units, used after the allowance, soonest expiry first."""

    name: Text
    meter: Key
    amount: FiniteAmount
    plans: tuple[Key, ...]
    prices: OneOffPrices
    expires_after_days: Annotated[Int, Field(ge=1, le=3660)] | None = None
    priority: Annotated[Int, Field(ge=0, le=1000)] = 100


class SubscriptionItem(Entry):
    """One line of a Stripe subscription: the plan, a metered overage, or an add-on."""

    kind: Literal["plan", "overage", "addon"]
    key: Key


class Roles(Entry):
    """Role → capabilities. Owners keep every capability, so that none is locked out."""

    admin: tuple[NotEmpty, ...]
    member: tuple[NotEmpty, ...]


class Catalog(Entry):
    key: Key
    name: Text
    document: NotEmpty
    locales: Annotated[tuple[Locale, ...], Field(min_length=1)]
    currencies: Annotated[tuple[Currency, ...], Field(min_length=1)]
    default_plan: Key
    # What an organization and its people are called where the product has its own words.
    words: Mapping[Key, Text] = {}
    contacts: Contacts
    roles: Roles
    tax: Tax
    checkout: Checkout = Checkout()
    cancellation: Cancellation = Cancellation()
    portal: Portal = Portal()
    dunning: Dunning
    statuses: Statuses
    transitions: Transitions
    enforcement: Enforcement
    beta: Beta = Beta()
    licence: Licence = Licence()
    env: Environment = Environment()
    organizations: Organizations = Organizations()
    promotions: Promotions = Promotions()
    contracts: Contracts = Contracts()
    mail: Mail = Mail()
    alerts: Alerts = Alerts()
    meters: Mapping[Key, Meter]
    features: Mapping[Key, Feature] = {}
    plans: Mapping[Key, Plan]
    addons: Mapping[Key, Addon] = {}
    credit_packs: Mapping[Key, CreditPack] = {}
    matrix: tuple[MatrixGroup, ...] = ()

    def position(self, plan: str) -> int:
        """Plans rank as the file lists them: a later one is an upgrade."""
        return tuple(self.plans).index(plan)

    def transition(self, source: str, target: str) -> Transition:
        """Raises KeyError for a plan the catalogue does not have."""
        for rule in self.transitions.rules:
            if (rule.source, rule.target) == (source, target):
                return _of_rule(rule)
        ranks = {key: rank for rank, key in enumerate(self.plans)}
        upwards = ranks[target] > ranks[source]
        return self.transitions.upgrade if upwards else self.transitions.downgrade

    def opens(self, source: str, target: str) -> bool:
        """Whether subscribers may take the step by themselves, also to a plan by contract: a rule
        for this very pair says so.
        """
        return any(
            (rule.source, rule.target) == (source, target) for rule in self.transitions.rules
        )

    def plan_features(self, plan: str) -> Mapping[str, PlanFeature]:
        """The plan's own and those of every plan it includes; its own entry wins."""
        entry = self.plans[plan]
        inherited = self.plan_features(entry.everything_in) if entry.everything_in else {}
        return {**inherited, **entry.features}

    def subscription_items(self, plan: str) -> tuple[SubscriptionItem, ...]:
        """What a subscription to the plan may hold: itself, its metered overage, its add-ons."""
        limits = self.plans[plan].limits
        metered = [key for key, limit in limits.items() if limit.overage is not None]
        packs = [key for key, addon in self.addons.items() if plan in addon.plans]
        return (
            SubscriptionItem(kind="plan", key=plan),
            *(SubscriptionItem(kind="overage", key=key) for key in metered),
            *(SubscriptionItem(kind="addon", key=key) for key in packs),
        )

    def cancellation_of(self, plan: str) -> Cancellation:
        return self.plans[plan].cancellation or self.cancellation

    def portal_of(self, plan: str) -> Portal:
        return self.plans[plan].portal or self.portal

    def tax_code_of(self, plan: str) -> str:
        return self.plans[plan].tax_code or self.tax.code

    def word(self, key: str, default: str) -> str:
        found = self.words.get(key)
        return str(found) if found is not None else default


def _of_rule(rule: TransitionRule) -> Transition:
    proration: Proration = rule.proration
    return Transition(when=rule.when, proration=proration)
