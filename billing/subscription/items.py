"""The items of a subscription beside its plan: metered usage and add-on packs."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from billing import catalog
from billing.exceptions import NotConfigured
from billing.models import ExtraPrice, PlanPrice
from billing.subscription.holding import Holding

Item = dict[str, Any]


def at_checkout(price: PlanPrice) -> list[Item]:
    """What a new subscription has beside the plan: usage that is billed after the period."""
    return [{"price": extra.stripe_price_id} for extra in _metered(price).values()]


def changed(held: Holding, price: PlanPrice, seats: int, packs: Mapping[str, int]) -> list[Item]:
    """As Stripe's update wants them: the plan, and whatever else becomes another."""
    plan = {"id": held.item_id, "price": price.stripe_price_id, "quantity": seats}
    return [plan, *_changed_metered(held, price), *_changed_packs(held, price, packs)]


def afterwards(held: Holding, price: PlanPrice, seats: int, packs: Mapping[str, int]) -> list[Item]:
    """All of them, as a phase of a schedule wants them: the plan first."""
    metered = [extra.stripe_price_id for extra in metered_with(held, price).values()]
    return [
        {"price": price.stripe_price_id, "quantity": seats},
        *({"price": found} for found in metered),
        *(
            {"price": pack_price(held, price, key).stripe_price_id, "quantity": quantity}
            for key, quantity in packs.items()
            if quantity
        ),
    ]


def metered_with(held: Holding, price: PlanPrice) -> dict[str, ExtraPrice]:
    """By meter. Whoever stays on their price keeps the rates that came with it."""
    if price.pk == held.price.pk:
        return {extra.key: extra for _item, extra in held.metered.values()}
    return _metered(price)


def pack_price(held: Holding, price: PlanPrice, key: str) -> ExtraPrice:
    """The one that is paid already, else the one on sale for the plan's interval.

    Raises NotConfigured where it has no price at Stripe yet.
    """
    known = held.packs.get(key)
    if known is not None and price.interval == held.price.interval:
        return known[1]
    found: ExtraPrice | None = (
        ExtraPrice.objects.of_catalog(catalog.current().key)
        .of_kind(ExtraPrice.Kind.ADDON)
        .purchasable()
        .for_terms(price.interval, price.currency)
        .filter(key=key)
        .first()
    )
    if found is None:
        raise NotConfigured(_("This pack has no price at Stripe yet. Run “catalog apply”."))
    return found


def _metered(price: PlanPrice) -> dict[str, ExtraPrice]:
    rows = (
        ExtraPrice.objects.of_catalog(price.plan.catalog)
        .of_kind(ExtraPrice.Kind.OVERAGE)
        .purchasable()
        .for_terms(price.interval, price.currency)
        .filter(plan_key=price.plan.key)
        .order_by("key")
    )
    return {row.key: row for row in rows}


def _changed_metered(held: Holding, price: PlanPrice) -> list[Item]:
    wanted = metered_with(held, price)
    found: list[Item] = []
    for meter, (item, extra) in held.metered.items():
        if meter not in wanted:
            found.append({"id": item["id"], "deleted": True})
        elif wanted[meter].pk != extra.pk:
            found.append({"id": item["id"], "price": wanted[meter].stripe_price_id})
    new = [extra for meter, extra in wanted.items() if meter not in held.metered]
    return [*found, *({"price": extra.stripe_price_id} for extra in new)]


def _changed_packs(held: Holding, price: PlanPrice, packs: Mapping[str, int]) -> list[Item]:
    found: list[Item] = []
    for key, (item, extra) in held.packs.items():
        quantity = packs.get(key, 0)
        if not quantity:
            found.append({"id": item["id"], "deleted": True})
            continue
        sold = pack_price(held, price, key)
        if (sold.pk, quantity) != (extra.pk, item["quantity"]):
            found.append({"id": item["id"], "price": sold.stripe_price_id, "quantity": quantity})
    for key, quantity in packs.items():
        if quantity and key not in held.packs:
            sold = pack_price(held, price, key)
            found.append({"price": sold.stripe_price_id, "quantity": quantity})
    return found
