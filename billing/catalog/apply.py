"""Publishes a catalogue: the database and, with a key, Stripe become what the file says.

Stripe is written first and read anew on every run, so an interrupted run is finished by the next.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from billing.catalog.actions import Action
from billing.catalog.comparison import PlanState, PriceState, compare
from billing.catalog.diff import Difference, conflicts, differences
from billing.catalog.publish_extras import ExtrasPublication
from billing.catalog.schema import Catalog
from billing.catalog.shop import PriceDraft, Shop, ShopPrice
from billing.exceptions import BillingError
from billing.models import PlanLimit, PlanPrice, SubscriptionPlan
from billing.signals import catalog_applied
from orgs import audit

_LOCK = "catalog.apply"


class CatalogConflict(BillingError):
    """The file, the database and Stripe disagree in a way that only a person can settle."""

    status = 409
    code = "catalog_conflict"


@dataclass(frozen=True, kw_only=True)
class Applied:
    differences: tuple[Difference, ...]
    plans: frozenset[int]  # rows whose terms changed, new versions included


def apply(
    catalog: Catalog,
    shop: Shop | None,
    environment: Mapping[str, str],
    *,
    actor: audit.Actor = audit.SYSTEM,
    on_plan: Callable[[str], None] = lambda _plan: None,
) -> Applied:
    """Idempotent. Raises CatalogConflict, and billing's errors when Stripe refuses or is away."""
    with transaction.atomic():
        _take_turns()
        states = compare(catalog, shop, environment)
        rows = differences(states)
        if found := conflicts(rows):
            raise CatalogConflict("; ".join(f"{row.plan}: {row.note}" for row in found))
        changed: set[int] = set()
        extras = ExtrasPublication(catalog, shop, timezone.now())
        for state in states:
            if isinstance(state, PlanState):
                changed |= _Publication(catalog, shop, state, timezone.now()).publish()
                on_plan(state.key)
            else:
                extras.publish(state)
        if rows:
            _tell(catalog, rows, frozenset(changed), actor)
    return Applied(differences=tuple(rows), plans=frozenset(changed))


def _take_turns() -> None:
    """Two operators who publish at once would create every price twice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_LOCK])


def _tell(
    catalog: Catalog, rows: list[Difference], plans: frozenset[int], actor: audit.Actor
) -> None:
    audit.record(
        "catalog.applied",
        organization=None,
        actor=actor,
        target=catalog.key,
        after={"differences": [row.as_json() for row in rows]},
    )
    catalog_applied.send(sender=Catalog, catalog=catalog.key, plans=plans)


class _Publication:
    """One plan on its way out."""

    def __init__(
        self, catalog: Catalog, shop: Shop | None, state: PlanState, now: datetime
    ) -> None:
        self.catalog = catalog
        self.shop = shop
        self.state = state
        self.now = now

    def publish(self) -> set[int]:
        """The ids of the plan rows that changed."""
        product_id = self._product()
        plan = self._plan(product_id)
        touched = [self._price(plan, price) for price in self.state.prices]
        limits = self._limits(plan)
        unchanged = self.state.action is Action.KEEP and not limits and not any(touched)
        return set() if unchanged else {plan.pk}

    def _product(self) -> str | None:
        state, shop = self.state, self.shop
        known = state.product.id if state.product else None
        if shop is None:
            return state.row.stripe_product_id if state.row else None
        if state.draft is not None and state.product_action is Action.CREATE:
            return shop.create_product(state.draft).id
        if state.draft is not None and state.product and state.product_action is Action.UPDATE:
            return shop.update_product(state.product.id, state.draft).id
        if state.product is not None and state.product_action is Action.ARCHIVE:
            shop.archive_product(state.product.id)
        return known

    def _plan(self, product_id: str | None) -> SubscriptionPlan:
        state = self.state
        if state.makes_a_version:
            return self._next_version(product_id)
        assert state.row is not None  # noqa: S101  only a created plan has none
        row = state.row
        for name in state.changed:
            setattr(row, name, state.wanted[name])
        if state.action is Action.ARCHIVE:
            row.archived_at = self.now
        if state.action is not Action.KEEP or row.stripe_product_id != product_id:
            row.stripe_product_id = product_id
            row.save()
        return row

    def _next_version(self, product_id: str | None) -> SubscriptionPlan:
        if self.state.row is not None:
            self.state.row.archived_at = self.now
            self.state.row.save(update_fields=["archived_at"])
        versions = SubscriptionPlan.objects.of_catalog(self.catalog.key).with_key(self.state.key)
        last = versions.order_by("-version").values_list("version", flat=True).first()
        made: SubscriptionPlan = SubscriptionPlan.objects.create(
            catalog=self.catalog.key,
            key=self.state.key,
            version=(last or 0) + 1,
            stripe_product_id=product_id,
            **self.state.wanted,
        )
        return made

    # --- Prices ---

    def _price(self, plan: SubscriptionPlan, price: PriceState) -> bool:
        """True when the row changed. An unchanged price moves along to the new version."""
        match price.action:
            case Action.ARCHIVE:
                self._retire(price)
            case Action.CREATE | Action.REPLACE | Action.LINK:
                sold = self._at_stripe(plan, price)
                self._retire(price, successor=sold)
                self._sell(plan, price, sold)
            case Action.RESTORE if self.shop and price.usable:
                self.shop.restore_price(price.usable.id, lookup_key=price.lookup_key)
        if price.action is Action.KEEP or price.action is Action.RESTORE:
            self._move(plan, price.row)
        return price.action not in (Action.KEEP, Action.RESTORE)

    def _at_stripe(self, plan: SubscriptionPlan, price: PriceState) -> ShopPrice | None:
        if self.shop is None or price.wanted is None:
            return None
        found = price.usable
        if found is None:
            return self.shop.create_price(self._draft(plan, price, price.wanted))
        if found.active and found.lookup_key == price.lookup_key:
            return found
        return self.shop.restore_price(found.id, lookup_key=price.lookup_key)

    def _draft(self, plan: SubscriptionPlan, price: PriceState, amount: int) -> PriceDraft:
        interval, currency = price.terms
        return PriceDraft(
            product=plan.stripe_product_id or "",
            currency=currency,
            unit_amount=amount,
            interval=interval,
            lookup_key=price.lookup_key,
            tax_behavior=self.catalog.tax.behavior,
            metadata={
                "catalog": self.catalog.key,
                "plan": plan.key,
                "version": str(plan.version),
            },
        )

    def _retire(self, price: PriceState, successor: ShopPrice | None = None) -> None:
        """The row stays: whoever pays the old price is found by it."""
        row = price.row
        if row is None:
            return
        if row.stripe_price_id is None and price.action is Action.LINK:
            return  # never sold anywhere; the row itself is linked
        row.archived_at = self.now
        row.save(update_fields=["archived_at"])
        replaced = price.linked is not None and price.linked.active
        if self.shop and price.linked and replaced and price.linked != successor:
            self.shop.archive_price(price.linked.id)

    def _sell(self, plan: SubscriptionPlan, price: PriceState, sold: ShopPrice | None) -> None:
        interval, currency = price.terms
        row = self._row_to_sell(price, sold)
        row.plan, row.interval, row.currency = plan, interval, currency
        row.unit_amount, row.lookup_key = price.wanted or 0, price.lookup_key
        row.archived_at = None
        if sold is not None:
            row.stripe_price_id, row.livemode = sold.id, sold.livemode
        row.save()

    def _row_to_sell(self, price: PriceState, sold: ShopPrice | None) -> PlanPrice:
        """A price that comes back (600, 700, 600 again) keeps its row and its subscribers."""
        unlinked = price.row if price.row and price.action is Action.LINK else None
        if unlinked is not None and unlinked.stripe_price_id is None:
            return unlinked
        known = PlanPrice.objects.with_stripe_id(sold.id).first() if sold else None
        return known or PlanPrice()

    def _move(self, plan: SubscriptionPlan, row: PlanPrice | None) -> None:
        if row is not None and row.plan_id != plan.pk:
            row.plan = plan
            row.save(update_fields=["plan"])

    # --- Limits ---

    def _limits(self, plan: SubscriptionPlan) -> bool:
        """True when a limit changed. A new version gets rows of its own."""
        changed = False
        for limit in self.state.limits:
            if limit.wanted is not None and (
                self.state.makes_a_version or limit.action is not Action.KEEP
            ):
                PlanLimit.objects.update_or_create(
                    plan=plan, meter=limit.meter, defaults=dict(limit.wanted)
                )
                changed = True
            elif limit.action is Action.ARCHIVE and limit.row and limit.row.plan_id == plan.pk:
                limit.row.delete()
                changed = True
        return changed
