"""Where the three truths stand: the file, the database, and Stripe where a key is set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from billing.catalog import extras, features
from billing.catalog.actions import Action
from billing.catalog.extras import ExtraState, MeterState
from billing.catalog.schema import Catalog, Limit, Plan
from billing.catalog.shop import ProductDraft, Shop, ShopPrice, ShopProduct
from billing.models import PlanLimit, PlanPrice, SubscriptionPlan

Terms = tuple[str, str]  # interval, currency
_PERIOD_WORDS = {"month": "MONTHLY", "year": "YEARLY"}


@dataclass(frozen=True, kw_only=True)
class PriceState:
    """One plan × interval × currency."""  # noqa: RUF002

    terms: Terms
    lookup_key: str
    wanted: int | None
    row: PlanPrice | None
    # Stripe's price that the row names, whatever it says.
    linked: ShopPrice | None
    # Stripe's price that sells what the file wants, free for us to use.
    usable: ShopPrice | None
    action: Action
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class PlanState:
    key: str
    entry: Plan | None  # None: the file no longer has it
    row: SubscriptionPlan | None  # None: not in the database, or not on sale
    wanted: Mapping[str, Any]
    changed: tuple[str, ...]
    action: Action
    limits: tuple["LimitState", ...]
    prices: tuple[PriceState, ...]
    draft: ProductDraft | None
    product: ShopProduct | None
    product_action: Action

    @property
    def makes_a_version(self) -> bool:
        return self.action in (Action.CREATE, Action.REPLACE)


@dataclass(frozen=True, kw_only=True)
class LimitState:
    meter: str
    wanted: Mapping[str, Any] | None
    row: PlanLimit | None
    action: Action


State = PlanState | MeterState | ExtraState


def compare(catalog: Catalog, shop: Shop | None, environment: Mapping[str, str]) -> list[State]:
    """Plans, then what is sold beside them. Reads the database and, with a shop, Stripe."""
    stock = _Stock.of(catalog, shop)
    on_sale = {
        plan.key: plan
        for plan in SubscriptionPlan.objects.of_catalog(catalog.key).on_sale().with_terms()
    }
    keys = [*catalog.plans, *(key for key in on_sale if key not in catalog.plans)]
    plans = [_plan_state(catalog, key, on_sale.get(key), stock, environment) for key in keys]
    return [*plans, *extras.compare(catalog, shop, stock.by_id.values())]


@dataclass(frozen=True, kw_only=True)
class _Stock:
    """Everything of ours that Stripe has, read once."""

    shop: Shop | None
    products: Mapping[str, ShopProduct]  # by plan key
    by_id: Mapping[str, ShopProduct]

    @classmethod
    def of(cls, catalog: Catalog, shop: Shop | None) -> "_Stock":
        found = shop.list_products() if shop else []
        ours = [product for product in found if product.metadata.get("catalog") == catalog.key]
        # Oldest last, so that the first product of a plan wins over an accidental second.
        return cls(
            shop=shop,
            products={product.metadata.get("plan", ""): product for product in ours},
            by_id={product.id: product for product in found},
        )

    def product_of(self, key: str, row: SubscriptionPlan | None) -> ShopProduct | None:
        linked = self.by_id.get(row.stripe_product_id or "") if row else None
        return linked or self.products.get(key)

    def product_named_by(
        self, catalog: Catalog, key: str, environment: Mapping[str, str]
    ) -> ShopProduct | None:
        """A price id in the environment brings its own product; a second one would be a double."""
        entry = catalog.plans.get(key)
        for interval, currency, _price in entry.each_price() if entry and self.shop else ():
            named = environment_price(catalog, key, (interval, currency), environment)
            price = self.shop.find_price(named[1]) if self.shop and named else None
            if price is not None:
                return self.by_id.get(price.product)
        return None

    def prices_of(self, product: ShopProduct | None) -> list[ShopPrice]:
        return self.shop.list_prices(product.id) if self.shop and product else []


def _plan_state(
    catalog: Catalog,
    key: str,
    row: SubscriptionPlan | None,
    stock: _Stock,
    environment: Mapping[str, str],
) -> PlanState:
    entry = catalog.plans.get(key)
    product = stock.product_of(key, row) or stock.product_named_by(catalog, key, environment)
    reading = _PriceReading(
        catalog=catalog,
        key=key,
        row=row,
        shop=stock.shop,
        stocked=stock.prices_of(product),
        environment=environment,
        all_new=row is not None and entry is not None and row.per_seat != entry.per_seat,
    )
    prices = tuple(reading.states())
    wanted = plan_fields(catalog, key) if entry else {}
    changed = tuple(name for name, value in wanted.items() if row and getattr(row, name) != value)
    draft = product_draft(catalog, key) if entry and entry.prices else None
    return PlanState(
        key=key,
        entry=entry,
        row=row,
        wanted=wanted,
        changed=changed,
        action=_plan_action(entry, row, changed, prices),
        limits=tuple(_limit_states(entry, row)),
        prices=prices,
        draft=draft,
        product=product,
        product_action=_product_action(stock.shop, draft, row, product),
    )


def _plan_action(
    entry: Plan | None,
    row: SubscriptionPlan | None,
    changed: tuple[str, ...],
    prices: tuple[PriceState, ...],
) -> Action:
    if entry is None:
        return Action.ARCHIVE
    if row is None:
        return Action.CREATE
    if any(price.action is Action.REPLACE for price in prices):
        return Action.REPLACE
    return Action.UPDATE if changed else Action.KEEP


def _product_action(
    shop: Shop | None,
    draft: ProductDraft | None,
    row: SubscriptionPlan | None,
    product: ShopProduct | None,
) -> Action:
    if shop is None:
        return Action.KEEP
    if draft is None:
        return Action.ARCHIVE if product is not None and product.active else Action.KEEP
    if product is None:
        return Action.CREATE
    if not product.is_as(draft):
        return Action.UPDATE
    return Action.KEEP if row and row.stripe_product_id == product.id else Action.LINK


# --- What the file wants ---------------------------------------------------------------------


def plan_fields(catalog: Catalog, key: str) -> dict[str, Any]:
    entry = catalog.plans[key]
    return {
        "position": catalog.position(key),
        "texts": {
            locale: {"name": entry.name.say(locale), "summary": entry.summary.say(locale)}
            for locale in catalog.locales
        },
        "kind": entry.kind,
        "per_seat": entry.per_seat,
        "min_seats": entry.seats.min if entry.per_seat else 1,
        "max_seats": entry.seats.max if entry.per_seat else 1,
        "features": features.states(catalog, key),
        "data": entry.model_dump(mode="json", by_alias=True, exclude={"prices"}),
    }


def limit_fields(limit: Limit) -> dict[str, Any]:
    overage = limit.overage
    billed = overage and {
        "per": overage.per,
        "rates": {currency: str(rate) for currency, rate in overage.rates.items()},
        "cap": {currency: price.amount for currency, price in overage.cap.items()},
    }
    return {"amount": limit.amount, "hard": limit.hard, "per": limit.per, "overage": billed}


def product_draft(catalog: Catalog, key: str) -> ProductDraft:
    entry, language = catalog.plans[key], catalog.locales[0]
    return ProductDraft(
        name=entry.name.say(language),
        description=entry.summary.say(language),
        tax_code=catalog.tax_code_of(key),
        unit_label="seat" if entry.per_seat else None,
        metadata={"catalog": catalog.key, "plan": key},
    )


def lookup_key(catalog: str, plan: str, terms: Terms) -> str:
    return "_".join((catalog, plan, *terms))


def _limit_states(entry: Plan | None, row: SubscriptionPlan | None) -> Iterator[LimitState]:
    rows = {limit.meter: limit for limit in row.limits.all()} if row else {}
    wanted = {key: limit_fields(limit) for key, limit in entry.limits.items()} if entry else {}
    for meter, fields in wanted.items():
        found = rows.get(meter)
        yield LimitState(meter=meter, wanted=fields, row=found, action=_limit_action(fields, found))
    if entry is not None:  # an archived plan keeps its limits for whoever is still on it
        for meter in rows.keys() - wanted.keys():
            yield LimitState(meter=meter, wanted=None, row=rows[meter], action=Action.ARCHIVE)


def _limit_action(fields: Mapping[str, Any], row: PlanLimit | None) -> Action:
    if row is None:
        return Action.CREATE
    same = all(getattr(row, name) == value for name, value in fields.items())
    return Action.KEEP if same else Action.UPDATE


# --- Prices ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _PriceReading:
    """All prices of one plan, read together."""

    catalog: Catalog
    key: str
    row: SubscriptionPlan | None
    shop: Shop | None
    stocked: list[ShopPrice]
    environment: Mapping[str, str]
    # A plan that starts or stops charging per seat sells something else: no price survives.
    all_new: bool

    def states(self) -> Iterator[PriceState]:
        entry = self.catalog.plans.get(self.key)
        wanted: dict[Terms, int] = {}
        if entry is not None:
            wanted = {(period, code): price.amount for period, code, price in entry.each_price()}
        rows = self._rows_on_sale()
        for terms in [*wanted, *(terms for terms in rows if terms not in wanted)]:
            yield self._state(terms, wanted.get(terms), rows.get(terms))

    def _rows_on_sale(self) -> dict[Terms, PlanPrice]:
        if self.row is None:
            return {}
        prices = [price for price in self.row.prices.all() if price.archived_at is None]
        return {(price.interval, price.currency): price for price in prices}

    def _state(self, terms: Terms, wanted: int | None, row: PlanPrice | None) -> PriceState:
        named = environment_price(self.catalog, self.key, terms, self.environment)
        linked = self._at_stripe(row.stripe_price_id) if row and row.stripe_price_id else None
        usable, note = self._usable(terms, wanted, row, named)
        action = self._judged(wanted, row, usable)
        return PriceState(
            terms=terms,
            lookup_key=lookup_key(self.catalog.key, self.key, terms),
            wanted=wanted,
            row=row,
            linked=linked,
            usable=usable,
            action=Action.CONFLICT if note else action,
            note=note,
        )

    def _usable(
        self, terms: Terms, wanted: int | None, row: PlanPrice | None, named: tuple[str, str] | None
    ) -> tuple[ShopPrice | None, str]:
        """Stripe's price for these terms, and why a person must look where something is wrong."""
        if wanted is None or self.shop is None:
            return None, ""
        if named is not None:
            return self._named_by_environment(terms, wanted, *named)
        own = row.stripe_price_id if row else None
        wants = lookup_key(self.catalog.key, self.key, terms)
        candidates = [
            price for price in self.stocked if price.id == own or price.lookup_key == wants
        ]
        fitting = [price for price in candidates if self._fits(price, terms, wanted, own)]
        return next(iter(sorted(fitting, key=lambda price: price.id != own)), None), ""

    def _fits(self, price: ShopPrice, terms: Terms, wanted: int, own: str | None) -> bool:
        if self.all_new or not price.sells(wanted, terms[1], terms[0]):
            return False
        return price.id == own or self._owner_of(price.id) is None

    def _named_by_environment(
        self, terms: Terms, wanted: int, variable: str, price_id: str
    ) -> tuple[ShopPrice | None, str]:
        price = self._at_stripe(price_id)
        if price is None:
            return None, f"{variable}: Stripe has no price {price_id} in this mode"
        if not price.sells(wanted, terms[1], terms[0]):
            return None, f"{variable}: {price_id} sells {_said(price)}, not {wanted} {terms[1]}"
        owner = self._owner_of(price_id)
        if owner is not None and not self._is_ours(owner, terms):
            return None, f"{variable}: {price_id} already sells {owner.plan}"
        return price, ""

    def _at_stripe(self, price_id: str) -> ShopPrice | None:
        known = next((price for price in self.stocked if price.id == price_id), None)
        return known or (self.shop.find_price(price_id) if self.shop else None)

    def _owner_of(self, price_id: str) -> PlanPrice | None:
        found: PlanPrice | None = (
            PlanPrice.objects.with_stripe_id(price_id).select_related("plan").first()
        )
        return found

    def _is_ours(self, owner: PlanPrice, terms: Terms) -> bool:
        return (owner.plan.catalog, owner.plan.key) == (self.catalog.key, self.key) and (
            owner.interval,
            owner.currency,
        ) == terms

    def _judged(
        self, wanted: int | None, row: PlanPrice | None, usable: ShopPrice | None
    ) -> Action:
        if wanted is None:
            return Action.ARCHIVE
        if row is None:
            return Action.CREATE
        if self.all_new or row.unit_amount != wanted:
            return Action.REPLACE
        if self.shop is None:
            return Action.KEEP
        if usable is None or usable.id != row.stripe_price_id:
            return Action.LINK
        in_order = usable.active and usable.lookup_key == row.lookup_key
        return Action.KEEP if in_order else Action.RESTORE


def environment_price(
    catalog: Catalog, plan: str, terms: Terms, environment: Mapping[str, str]
) -> tuple[str, str] | None:
    """The variable and the price id it names; STRIPE_PRICE_<PLAN>_<MONTHLY|YEARLY>_<CURRENCY>,
    then the names of the catalogue's own document."""
    period, currency = _PERIOD_WORDS[terms[0]], terms[1].upper()
    general = f"STRIPE_PRICE_{plan.upper().replace('-', '_')}_{period}_{currency}"
    aliases = [
        variable
        for variable, named in catalog.env.prices.items()
        if (named.plan, named.interval, named.currency) == (plan, *terms)
    ]
    found = (
        (variable, environment[variable].strip())
        for variable in (general, *aliases)
        if environment.get(variable, "").strip()
    )
    return next(found, None)


def _said(price: ShopPrice) -> str:
    return f"{price.unit_amount} {price.currency} per {price.interval or 'no plain interval'}"
