"""What a verdict rests on and what it says: facts, policy, resolution. Plain, frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from billing.models.effective_plan import Access, Source

Grants = Literal["full", "restricted", "read_only", "none"]


@dataclass(frozen=True, kw_only=True)
class PlanRef:
    """One version of a plan, as the price or the grant names it."""

    key: str
    version: int


@dataclass(frozen=True, kw_only=True)
class SubscriptionFact:
    """One Stripe subscription. `plan` is None when its price is not in any catalogue (A19)."""

    stripe_id: str
    status: str
    plan: PlanRef | None
    price_id: str
    quantity: int
    interval: str
    currency: str
    livemode: bool
    created_at: datetime
    period_start: datetime | None = None
    period_end: datetime | None = None
    cancel_at: datetime | None = None
    cancel_at_period_end: bool = False
    trial_end: datetime | None = None
    paused: bool = False
    # What its add-on packs put on top of the plan's limits, by meter.
    added: Mapping[str, int] = field(default_factory=dict)
    # The invoice of a change that is given when it is paid, and forgotten when it is not.
    pending_invoice: str = ""

    @property
    def ends_at(self) -> datetime | None:
        """When a decision already taken ends it; the portal may set either field (sequence 6)."""
        if self.cancel_at is not None:
            return self.cancel_at
        return self.period_end if self.cancel_at_period_end else None


@dataclass(frozen=True, kw_only=True)
class InvoiceFact:
    """One invoice that may still be owed; amounts in minor units."""

    stripe_id: str
    status: str
    billing_reason: str
    subscription_id: str
    collection_method: str
    amount_remaining: int
    attempt_count: int
    finalized_at: datetime | None
    due_date: datetime | None = None
    disputed: bool = False
    # Stripe's word for a dispute that nobody has settled by hand; empty without one.
    dispute: str = ""
    amount_paid: int = 0
    amount_refunded: int = 0
    period_end: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class GrantFact:
    id: int
    source: Source
    plan: PlanRef | None
    seats: int | None
    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class LicenceFact:
    """Of an installation that needs a licence. `refusal` says why it has none that counts."""

    plan: PlanRef | None = None
    seats: int | None = None
    starts_at: datetime | None = None
    # With the days of grace after its end.
    ends_at: datetime | None = None
    refusal: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything a verdict may rest on; stored with each change, so that the past can be judged."""

    subscriptions: tuple[SubscriptionFact, ...] = ()
    invoices: tuple[InvoiceFact, ...] = ()
    grants: tuple[GrantFact, ...] = ()
    # This installation's mode; a subscription of the other mode grants nothing (A20).
    livemode: bool = False
    configured: bool = True
    has_ever_billed: bool = False
    customer_deleted: bool = False
    # None where none is needed.
    licence: LicenceFact | None = None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The catalogue's part of the decision."""

    default_plan: PlanRef
    status_grants: Mapping[str, Grants]
    grace: timedelta
    access_during_grace: Access
    at_end: Literal["lock", "downgrade"]
    beta: bool = False
    lost_dispute: Literal["flag", "lock", "downgrade"] = "flag"
    full_refund: Literal["keep", "end"] = "keep"
    partial_refund: Literal["keep", "end"] = "keep"
    # Every plan of the catalogue, lowest first: how far a licence reaches.
    ladder: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the trace: what was looked at, what came of it, and the facts in numbers."""

    subject: str
    outcome: str
    detail: Mapping[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """The verdict. `valid_until` is the next instant at which time alone can change it."""

    plan: PlanRef
    source: Source
    status: str
    access: Access
    reason: str
    seats: int = 1
    interval: str = ""
    currency: str = ""
    price_id: str = ""
    subscription_id: str = ""
    period_start: datetime | None = None
    period_end: datetime | None = None
    ends_at: datetime | None = None
    grace_ends_at: datetime | None = None
    valid_until: datetime | None = None
    is_beta: bool = False
    added: Mapping[str, int] = field(default_factory=dict)
    trace: tuple[Step, ...] = ()
