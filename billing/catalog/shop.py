"""What the catalogue needs of Stripe: products, prices, meters. The gateway fills this port."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class ProductDraft:
    name: str
    description: str
    tax_code: str
    unit_label: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ShopProduct:
    """A product as Stripe has it."""

    id: str
    name: str
    description: str
    tax_code: str | None
    unit_label: str | None
    active: bool
    metadata: Mapping[str, str]

    def is_as(self, draft: ProductDraft) -> bool:
        return self.active and self._terms == (
            draft.name,
            draft.description,
            draft.tax_code,
            draft.unit_label,
        )

    @property
    def _terms(self) -> tuple[str, str, str | None, str | None]:
        return self.name, self.description, self.tax_code, self.unit_label


@dataclass(frozen=True, kw_only=True)
class PriceDraft:
    """`lookup_key` is taken over from the price that had it before.

    `interval` None is bought once; with a `meter` usage is billed after the period.
    """

    product: str
    currency: str
    unit_amount: Decimal | int
    interval: str | None
    lookup_key: str
    tax_behavior: str
    meter: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ShopPrice:
    """A price as Stripe has it. Its amount never changes; a new amount is a new price."""

    id: str
    product: str
    currency: str
    # None where Stripe computes the amount (tiers, customer chosen).
    unit_amount: int | None
    # None for a one-off price; "2 months" and the like are no interval of ours.
    interval: str | None
    lookup_key: str | None
    active: bool
    livemode: bool
    # Minor units with the decimals that a unit of usage may have.
    unit_amount_decimal: Decimal | None = None
    meter: str | None = None

    def sells(self, amount: int, currency: str, interval: str) -> bool:
        return (self.unit_amount, self.currency, self.interval) == (amount, currency, interval)


@dataclass(frozen=True, kw_only=True)
class ShopMeter:
    """A Billing Meter as Stripe has it; the name of its events never changes."""

    id: str
    event_name: str
    active: bool


class Shop(Protocol):
    """Refusals and outages are raised as billing's own exceptions."""

    def list_products(self) -> list[ShopProduct]: ...

    def create_product(self, draft: ProductDraft) -> ShopProduct: ...

    def update_product(self, product_id: str, draft: ProductDraft) -> ShopProduct: ...

    def archive_product(self, product_id: str) -> None: ...

    def list_prices(self, product_id: str) -> list[ShopPrice]: ...

    def find_price(self, price_id: str) -> ShopPrice | None: ...

    def create_price(self, draft: PriceDraft) -> ShopPrice: ...

    def restore_price(self, price_id: str, *, lookup_key: str) -> ShopPrice: ...

    def archive_price(self, price_id: str) -> None: ...

    def list_meters(self) -> list[ShopMeter]: ...

    def create_meter(self, *, event_name: str, name: str) -> ShopMeter: ...

    def restore_meter(self, meter_id: str) -> ShopMeter: ...
