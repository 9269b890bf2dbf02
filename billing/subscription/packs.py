"""Which add-on packs a wish leaves, and which packs a plan offers."""

from collections.abc import Mapping

from django.utils.translation import gettext as _

from billing import catalog
from billing.exceptions import NotOffered
from billing.models import ExtraPrice, SubscriptionPlan
from billing.subscription.holding import Holding
from orgs.exceptions import Unprocessable


def wished(held: Holding, plan: SubscriptionPlan, wish: Mapping[str, int]) -> dict[str, int]:
    """Packs by key, none of them 0: what is held, with the wish on top, as far as the plan goes.

    Raises NotOffered for a pack that the plan does not have, and Unprocessable for a number that
    cannot be bought. A pack that another plan does not have ends with the change.
    """
    for key, quantity in wish.items():
        _check(held, plan, key, quantity)
    kept = {key: item["quantity"] for key, (item, _extra) in held.packs.items()}
    merged = {**kept, **wish}
    return {
        key: quantity for key, quantity in merged.items() if quantity and _offers(held, plan, key)
    }


def units(held: Holding, packs: Mapping[str, int]) -> dict[str, int]:
    """What packs add to the limits, by meter: the sizes that were bought, else today's."""
    sold = catalog.current().addons
    added: dict[str, int] = {}
    for key, quantity in packs.items():
        known = held.packs.get(key)
        meter, size = (
            (known[1].meter, known[1].units)
            if known is not None
            else (sold[key].meter, sold[key].amount)
        )
        added[meter] = added.get(meter, 0) + size * quantity
    return added


def _check(held: Holding, plan: SubscriptionPlan, key: str, quantity: int) -> None:
    entry = catalog.current().addons.get(key)
    if entry is None and key in held.packs and quantity == 0:
        return  # no longer sold, and may be given up
    if entry is None or (quantity and plan.key not in entry.plans):
        raise NotOffered(
            _("%(plan)s has no pack “%(pack)s”.")
            % {"plan": plan.name, "pack": str(entry.name) if entry else key},
            pack=key,
        )
    if not 0 <= quantity <= entry.max_quantity:
        raise Unprocessable(
            _("The number of packs must be between 0 and %(most)s.")
            % {"most": entry.max_quantity},
            field="addons", minimum=0, maximum=entry.max_quantity,
        )  # fmt: skip


def _offers(held: Holding, plan: SubscriptionPlan, key: str) -> bool:
    """A pack that is no longer sold stays with whoever stays on the plan."""
    entry = catalog.current().addons.get(key)
    if entry is None:
        return plan.key == held.plan_key
    return plan.key in entry.plans


def of_catalog(kind: str) -> list[ExtraPrice]:
    """What is for sale at Stripe now."""
    return list(ExtraPrice.objects.of_catalog(catalog.current().key).of_kind(kind).purchasable())
