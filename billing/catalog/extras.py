"""What is sold beside plans, as file, database and Stripe have it: meters, overage, packs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing.catalog.actions import Action
from billing.catalog.schema import Catalog
from billing.catalog.shop import ProductDraft, Shop, ShopMeter, ShopPrice, ShopProduct
from billing.models import ExtraPrice, StripeMeter

Identity = tuple[str, str, str, str, str]  # kind, key, plan, interval, currency


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One price of the file."""

    kind: str
    key: str
    plan_key: str
    interval: str
    currency: str
    unit_amount: Decimal
    terms: Mapping[str, Any]
    product: ProductDraft

    @property
    def identity(self) -> Identity:
        return self.kind, self.key, self.plan_key, self.interval, self.currency


@dataclass(frozen=True, kw_only=True)
class MeterState:
    """A meter that some plan bills, and the Billing Meter that adds it up."""

    meter: str
    event_name: str
    name: str
    row: StripeMeter | None
    found: ShopMeter | None
    action: Action


@dataclass(frozen=True, kw_only=True)
class ExtraState:
    """One price; `usable` is Stripe's price that sells exactly this."""

    identity: Identity
    lookup_key: str
    wanted: Wanted | None
    row: ExtraPrice | None
    product: ShopProduct | None
    usable: ShopPrice | None
    action: Action


def compare(
    catalog: Catalog, shop: Shop | None, products: Iterable[ShopProduct]
) -> list[MeterState | ExtraState]:
    """Meters first, because prices of usage name them."""
    wanted = {one.identity: one for one in _wanted(catalog)}
    rows = {_identity(row): row for row in ExtraPrice.objects.of_catalog(catalog.key).on_sale()}
    ours = {
        product.metadata.get("extra", ""): product
        for product in products
        if product.metadata.get("catalog") == catalog.key
    }
    stock = _Stock(catalog.key, shop, ours)
    named = [*wanted, *(identity for identity in rows if identity not in wanted)]
    prices = [stock.state(each, wanted.get(each), rows.get(each)) for each in named]
    return [*_meters(catalog, shop, wanted.values()), *prices]


def product_key(identity: Identity) -> str:
    """What our product at Stripe carries, so that it is found again."""
    kind, key, plan_key, _interval, _currency = identity
    return ":".join(part for part in (kind, plan_key, key) if part)


def _identity(row: ExtraPrice) -> Identity:
    return row.kind, row.key, row.plan_key, row.interval, row.currency


# --- Meters -----------------------------------------------------------------------------------


def _meters(catalog: Catalog, shop: Shop | None, wanted: Iterable[Wanted]) -> Iterator[MeterState]:
    """A meter that is billed no longer stays: its last invoice may still be to come."""
    billed = dict.fromkeys(one.key for one in wanted if one.kind == ExtraPrice.Kind.OVERAGE)
    if not billed:
        return
    rows = {row.meter: row for row in StripeMeter.objects.filter(catalog=catalog.key)}
    found = {meter.event_name: meter for meter in shop.list_meters()} if shop else {}
    for meter in billed:
        event_name = f"{catalog.key}_{meter}"
        there = found.get(event_name)
        yield MeterState(
            meter=meter,
            event_name=event_name,
            name=catalog.meters[meter].name.say(catalog.locales[0]),
            row=rows.get(meter),
            found=there,
            action=_meter_action(shop, rows.get(meter), there),
        )


def _meter_action(shop: Shop | None, row: StripeMeter | None, found: ShopMeter | None) -> Action:
    if shop is None:
        return Action.KEEP
    if found is None:
        return Action.CREATE
    if not found.active:
        return Action.RESTORE
    return Action.KEEP if row is not None and row.stripe_id == found.id else Action.LINK


# --- What the file wants ----------------------------------------------------------------------


def _wanted(catalog: Catalog) -> Iterator[Wanted]:
    yield from _overage(catalog)
    yield from _addons(catalog)
    yield from _credits(catalog)


def _overage(catalog: Catalog) -> Iterator[Wanted]:
    """An item of a subscription renews with its plan, so usage is priced per interval too."""
    for plan_key, plan in catalog.plans.items():
        for meter, limit in plan.limits.items():
            overage = limit.overage
            if overage is None:
                continue
            for interval in plan.intervals:
                for currency, rate in overage.rates.items():
                    yield Wanted(
                        kind=ExtraPrice.Kind.OVERAGE,
                        key=meter,
                        plan_key=plan_key,
                        interval=interval,
                        currency=currency,
                        unit_amount=rate / overage.per,
                        terms={"meter": meter, "rate": str(rate), "per": overage.per},
                        product=_product(
                            catalog,
                            f"{ExtraPrice.Kind.OVERAGE}:{plan_key}:{meter}",
                            catalog.meters[meter].name.say(catalog.locales[0]),
                            catalog.tax_code_of(plan_key),
                        ),
                    )


def _addons(catalog: Catalog) -> Iterator[Wanted]:
    for key, addon in catalog.addons.items():
        name = addon.name.say(catalog.locales[0])
        for interval, by_currency in addon.prices.items():
            for currency, price in by_currency.items():
                yield Wanted(
                    kind=ExtraPrice.Kind.ADDON,
                    key=key,
                    plan_key="",
                    interval=interval,
                    currency=currency,
                    unit_amount=Decimal(price.amount),
                    terms={"meter": addon.meter, "units": addon.amount},
                    product=_product(
                        catalog, f"{ExtraPrice.Kind.ADDON}:{key}", name, catalog.tax.code
                    ),
                )


def _credits(catalog: Catalog) -> Iterator[Wanted]:
    for key, pack in catalog.credit_packs.items():
        name = pack.name.say(catalog.locales[0])
        for currency, price in pack.prices.items():
            yield Wanted(
                kind=ExtraPrice.Kind.CREDITS,
                key=key,
                plan_key="",
                interval="",
                currency=currency,
                unit_amount=Decimal(price.amount),
                terms={
                    "meter": pack.meter,
                    "units": pack.amount,
                    "expires_after_days": pack.expires_after_days,
                    "priority": pack.priority,
                },
                product=_product(
                    catalog, f"{ExtraPrice.Kind.CREDITS}:{key}", name, catalog.tax.code
                ),
            )


def _product(catalog: Catalog, key: str, name: str, tax_code: str) -> ProductDraft:
    return ProductDraft(
        name=name,
        description="",
        tax_code=tax_code,
        metadata={"catalog": catalog.key, "extra": key},
    )


# --- Prices -----------------------------------------------------------------------------------


class _Stock:
    """Our extras at Stripe; a product's prices are listed once."""

    def __init__(
        self, catalog: str, shop: Shop | None, products: Mapping[str, ShopProduct]
    ) -> None:
        self.catalog = catalog
        self.shop = shop
        self.products = products
        self._prices: dict[str, list[ShopPrice]] = {}

    def state(
        self, identity: Identity, wanted: Wanted | None, row: ExtraPrice | None
    ) -> ExtraState:
        product = self.products.get(product_key(identity))
        lookup_key = "_".join(part for part in (self.catalog, *_in_order(identity)) if part)
        usable = self._usable(wanted, row, product, lookup_key)
        return ExtraState(
            identity=identity,
            lookup_key=lookup_key,
            wanted=wanted,
            row=row,
            product=product,
            usable=usable,
            action=self._judged(wanted, row, usable),
        )

    def _usable(
        self,
        wanted: Wanted | None,
        row: ExtraPrice | None,
        product: ShopProduct | None,
        lookup_key: str,
    ) -> ShopPrice | None:
        if self.shop is None or wanted is None or product is None:
            return None
        if product.id not in self._prices:
            self._prices[product.id] = self.shop.list_prices(product.id)
        own = row.stripe_price_id if row is not None and is_same(row, wanted) else None
        fitting = [
            price
            for price in self._prices[product.id]
            if _sells(price, wanted) and (price.id == own or price.lookup_key == lookup_key)
        ]
        free = [price for price in fitting if price.id == own or self._is_free(price)]
        return min(free, key=lambda price: price.id != own, default=None)

    def _is_free(self, price: ShopPrice) -> bool:
        """A price of older terms has subscribers who keep those terms."""
        return not ExtraPrice.objects.with_stripe_ids([price.id]).exists()

    def _judged(
        self, wanted: Wanted | None, row: ExtraPrice | None, usable: ShopPrice | None
    ) -> Action:
        if wanted is None:
            return Action.ARCHIVE
        if row is None:
            return Action.CREATE
        if not is_same(row, wanted):
            return Action.REPLACE
        if self.shop is None:
            return Action.KEEP
        if usable is None or usable.id != row.stripe_price_id:
            return Action.LINK
        in_order = usable.active and usable.lookup_key == row.lookup_key
        return Action.KEEP if in_order else Action.RESTORE


def is_same(row: ExtraPrice, wanted: Wanted) -> bool:
    return row.unit_amount == wanted.unit_amount and row.terms == dict(wanted.terms)


def _in_order(identity: Identity) -> tuple[str, ...]:
    kind, key, plan_key, interval, currency = identity
    return kind, plan_key, key, interval, currency


def _sells(price: ShopPrice, wanted: Wanted) -> bool:
    is_metered = wanted.kind == ExtraPrice.Kind.OVERAGE
    return (
        price.unit_amount_decimal == wanted.unit_amount
        and price.currency == wanted.currency
        and price.interval == (wanted.interval or None)
        and (price.meter is not None) == is_metered
    )
