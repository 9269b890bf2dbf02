"""The three-way difference, as rows that a person can read and a program can count."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal

from billing.catalog.actions import Action
from billing.catalog.comparison import LimitState, PlanState, PriceState, State
from billing.catalog.extras import ExtraState, MeterState
from billing.catalog.shop import ShopPrice

NOTHING = "-"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing on which the file, the database and Stripe disagree, and what applying does."""

    plan: str
    subject: Literal["plan", "product", "price", "limit", "meter", "extra"]
    # The price's terms, the meter, or the changed fields.
    name: str
    file: str
    database: str
    stripe: str
    action: Action
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        values = f"file {self.file}, database {self.database}, Stripe {self.stripe}"
        note = f" ({self.note})" if self.note else ""
        return f"{self.action} {self.plan} {self.subject} {self.name}: {values}{note}"


def differences(states: Iterable[State]) -> list[Difference]:
    """Empty when applying would change nothing."""
    return [row for state in states for row in _of(state) if row.action is not Action.KEEP]


def conflicts(rows: Iterable[Difference]) -> list[Difference]:
    return [row for row in rows if row.action is Action.CONFLICT]


def _of(state: State) -> Iterator[Difference]:
    if isinstance(state, PlanState):
        yield from _of_plan(state)
    elif isinstance(state, MeterState):
        yield _of_meter(state)
    else:
        yield _of_extra(state)


def _of_meter(state: MeterState) -> Difference:
    return Difference(
        plan=NOTHING,
        subject="meter",
        name=state.meter,
        file=state.event_name,
        database=state.row.stripe_id if state.row else NOTHING,
        stripe=state.found.id if state.found else NOTHING,
        action=state.action,
    )


def _of_extra(state: ExtraState) -> Difference:
    kind, key, plan_key, interval, currency = state.identity
    at_stripe = state.usable.unit_amount_decimal if state.usable else None
    return Difference(
        plan=plan_key or NOTHING,
        subject="extra",
        name=" ".join(part for part in (kind, key, interval, currency) if part),
        file=_plain(state.wanted.unit_amount) if state.wanted else NOTHING,
        database=_plain(state.row.unit_amount) if state.row else NOTHING,
        stripe=NOTHING if at_stripe is None else _plain(at_stripe),
        action=state.action,
        note=_extra_note(state),
    )


def _extra_note(state: ExtraState) -> str:
    match state.action:
        case Action.REPLACE:
            return "sold on new terms; subscribers keep theirs"
        case Action.ARCHIVE:
            return "no longer sold; subscribers keep it"
        case _:
            return ""


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _of_plan(state: PlanState) -> Iterator[Difference]:
    yield Difference(
        plan=state.key,
        subject="plan",
        name=", ".join(state.changed) or "terms",
        file=state.entry.kind if state.entry else NOTHING,
        database=f"version {state.row.version}" if state.row else NOTHING,
        stripe=NOTHING,
        action=state.action,
        note=_plan_note(state),
    )
    yield Difference(
        plan=state.key,
        subject="product",
        name=state.draft.name if state.draft else state.key,
        file=state.draft.name if state.draft else NOTHING,
        database=(state.row.stripe_product_id if state.row else None) or NOTHING,
        stripe=state.product.name if state.product else NOTHING,
        action=state.product_action,
    )
    yield from (_of_price(state.key, price) for price in state.prices)
    yield from (_of_limit(state.key, limit) for limit in state.limits)


def _plan_note(state: PlanState) -> str:
    match state.action:
        case Action.REPLACE:
            return "a new version is sold; subscribers keep theirs"
        case Action.ARCHIVE:
            return "no longer sold; subscribers keep it"
        case Action.UPDATE if {"features", "data"} & set(state.changed):
            return "holds at once for everybody on this version"
        case _:
            return ""


def _of_price(plan: str, price: PriceState) -> Difference:
    interval, currency = price.terms
    row = price.row
    return Difference(
        plan=plan,
        subject="price",
        name=f"{interval} {currency}",
        file=NOTHING if price.wanted is None else str(price.wanted),
        database=str(row.unit_amount) if row else NOTHING,
        stripe=_amount_at(price.linked or price.usable),
        action=price.action,
        note=price.note,
    )


def _amount_at(price: ShopPrice | None) -> str:
    return NOTHING if price is None else str(price.unit_amount)


def _of_limit(plan: str, limit: LimitState) -> Difference:
    row = limit.row
    found = row and {
        "amount": row.amount,
        "hard": row.hard,
        "per": row.per,
        "overage": row.overage,
    }
    return Difference(
        plan=plan,
        subject="limit",
        name=limit.meter,
        file=_limit_text(limit.wanted),
        database=_limit_text(found),
        stripe=NOTHING,
        action=limit.action,
    )


def _limit_text(fields: Any) -> str:
    if fields is None:
        return NOTHING
    amount = "unlimited" if fields["amount"] is None else str(fields["amount"])
    firmness = "hard" if fields["hard"] else "soft"
    return f"{amount} {firmness} per {fields['per']}{_overage_text(fields['overage'])}"


def _overage_text(overage: Any) -> str:
    if not overage:
        return ""
    rates = ", ".join(f"{rate} {currency}" for currency, rate in overage["rates"].items())
    return f", then {rates} per {overage['per']}"
