"""Publishes what is sold beside plans. Stripe is written first, as for plans."""

from datetime import datetime

from billing.catalog.actions import Action
from billing.catalog.extras import ExtraState, MeterState, Wanted, product_key
from billing.catalog.schema import Catalog
from billing.catalog.shop import PriceDraft, Shop, ShopMeter, ShopPrice
from billing.models import ExtraPrice, StripeMeter


class ExtrasPublication:
    """All extras of one run: a product is made once, whatever prices hang on it."""

    def __init__(self, catalog: Catalog, shop: Shop | None, now: datetime) -> None:
        self.catalog = catalog
        self.shop = shop
        self.now = now
        self._products: dict[str, str] = {}

    def publish(self, state: MeterState | ExtraState) -> None:
        if isinstance(state, MeterState):
            self._publish_meter(state)
        else:
            self._publish_price(state)

    def _publish_meter(self, state: MeterState) -> None:
        if self.shop is None or state.action is Action.KEEP:
            return
        found = self._meter(self.shop, state)
        StripeMeter.objects.update_or_create(
            catalog=self.catalog.key,
            meter=state.meter,
            defaults={"event_name": found.event_name, "stripe_id": found.id},
        )

    def _meter(self, shop: Shop, state: MeterState) -> ShopMeter:
        if state.found is None:
            return shop.create_meter(event_name=state.event_name, name=state.name)
        return state.found if state.found.active else shop.restore_meter(state.found.id)

    def _publish_price(self, state: ExtraState) -> None:
        match state.action:
            case Action.ARCHIVE:
                self._retire(state)
            case Action.CREATE | Action.REPLACE | Action.LINK if state.wanted is not None:
                sold = self._at_stripe(state, state.wanted)
                self._sell(state, state.wanted, sold)
            case Action.RESTORE if self.shop is not None and state.usable is not None:
                self.shop.restore_price(state.usable.id, lookup_key=state.lookup_key)

    def _at_stripe(self, state: ExtraState, wanted: Wanted) -> ShopPrice | None:
        if self.shop is None:
            return None
        found = state.usable
        if found is None:
            return self.shop.create_price(self._draft(self.shop, state, wanted))
        if found.active and found.lookup_key == state.lookup_key:
            return found
        return self.shop.restore_price(found.id, lookup_key=state.lookup_key)

    def _draft(self, shop: Shop, state: ExtraState, wanted: Wanted) -> PriceDraft:
        is_metered = wanted.kind == ExtraPrice.Kind.OVERAGE
        return PriceDraft(
            product=self._product(shop, state, wanted),
            currency=wanted.currency,
            unit_amount=wanted.unit_amount,
            interval=wanted.interval or None,
            lookup_key=state.lookup_key,
            tax_behavior=self.catalog.tax.behavior,
            metadata={"catalog": self.catalog.key, "extra": product_key(wanted.identity)},
            meter=self._meter_id(wanted.key) if is_metered else None,
        )

    def _product(self, shop: Shop, state: ExtraState, wanted: Wanted) -> str:
        key = product_key(wanted.identity)
        if key not in self._products:
            there = state.product
            if there is None:
                self._products[key] = shop.create_product(wanted.product).id
            elif there.is_as(wanted.product):
                self._products[key] = there.id
            else:
                self._products[key] = shop.update_product(there.id, wanted.product).id
        return self._products[key]

    def _meter_id(self, meter: str) -> str:
        return StripeMeter.objects.get(catalog=self.catalog.key, meter=meter).stripe_id

    def _sell(self, state: ExtraState, wanted: Wanted, sold: ShopPrice | None) -> None:
        row = state.row
        if state.action is not Action.LINK or row is None or row.stripe_price_id is not None:
            self._retire(state, successor=sold)
            row = self._former(sold) or ExtraPrice(
                catalog=self.catalog.key,
                kind=wanted.kind,
                key=wanted.key,
                plan_key=wanted.plan_key,
                interval=wanted.interval,
                currency=wanted.currency,
            )
        row.unit_amount, row.terms = wanted.unit_amount, dict(wanted.terms)
        row.lookup_key, row.archived_at = state.lookup_key, None
        if sold is not None:
            row.stripe_price_id, row.stripe_product_id = sold.id, sold.product
        row.save()

    def _former(self, sold: ShopPrice | None) -> ExtraPrice | None:
        found: ExtraPrice | None = (
            ExtraPrice.objects.with_stripe_ids([sold.id]).first() if sold else None
        )
        return found

    def _retire(self, state: ExtraState, successor: ShopPrice | None = None) -> None:
        """The row stays: whoever pays the old price is found by it."""
        row = state.row
        if row is None:
            return
        row.archived_at = self.now
        row.save(update_fields=["archived_at"])
        if self.shop and row.stripe_price_id:
            replaced = self.shop.find_price(row.stripe_price_id)
            if replaced and replaced.active and replaced != successor:
                self.shop.archive_price(replaced.id)
