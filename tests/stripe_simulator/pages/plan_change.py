"""Another plan through the portal: what may be chosen, what it costs, and the change itself."""

from dataclasses import dataclass
from urllib.parse import urlencode

from tests.stripe_simulator.errors import StripeError, missing
from tests.stripe_simulator.lifecycle import changes, preview, schedules, standing
from tests.stripe_simulator.money import amount_of, written
from tests.stripe_simulator.pages.words import locale_of, say
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

MONTHS = {"day": 1 / 30, "week": 7 / 30, "month": 1, "year": 12}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The subscription someone wants to change, and to what."""

    subscription: str
    price: str
    quantity: int


def plans(sim: Simulator, feature: Obj, locale: str = "en") -> list[Obj]:
    """The prices a configuration lets people choose from."""
    found = []
    for product in feature.get("products") or []:
        for key in product["prices"]:
            price = sim.find("price", key)
            name = sim.find("product", price["product"])["name"]
            cost = each(price, price["unit_amount"] or 0, price["currency"], locale)
            found.append({"id": key, "name": f"{name}, {cost}"})
    return found


def each(price: Obj, amount: int, currency: str, locale: str) -> str:
    """“$12.00 per month”, in the reader's language."""
    interval = say(locale, price["recurring"]["interval"])
    return say(
        locale, "%(amount)s per %(interval)s", amount=written(amount, currency), interval=interval
    )


def wish_of_flow(session: Obj) -> Wish | None:
    """A deep link may name the change already."""
    named = (session["flow"] or {}).get("subscription_update_confirm")
    if not named:
        return None
    item = named["items"][0]
    return Wish(
        subscription=named["subscription"],
        price=item["price"] or "",
        quantity=int(item.get("quantity") or 1),
    )


def wish_of_query(query: dict[str, str]) -> Wish | None:
    if not query.get("price"):
        return None
    quantity = query.get("quantity") or "1"
    return Wish(
        subscription=query.get("subscription", ""),
        price=query["price"],
        quantity=int(quantity) if quantity.isdigit() else 1,
    )


def confirmation_url(session: Obj, form: dict[str, str]) -> str:
    chosen = {name: form.get(name, "") for name in ("subscription", "price", "quantity")}
    return f"{session['url']}?{urlencode(chosen)}"


def offer(sim: Simulator, session: Obj, feature: Obj, wish: Wish) -> Obj:
    """What is due today, or from when the change holds."""
    subscription = _own(sim, session, wish)
    item = _item(sim, subscription, feature, wish)
    price = sim.find("price", wish.price)
    currency = subscription["currency"]
    answer: Obj = {
        "name": sim.find("product", price["product"])["name"],
        "each": each(
            price, amount_of(price, wish.quantity, currency), currency, locale_of(sim, session)
        ),
        "later": _waits(sim, subscription, feature, wish),
        "lines": [],
    }
    if answer["later"]:
        return answer
    details = {"items": [item], "proration_behavior": feature["proration_behavior"]}
    asked = {"subscription": subscription["id"], "subscription_details": details}
    invoice = preview.preview(sim, asked)
    answer["lines"] = [
        {"text": line["description"], "amount": written(line["amount"], currency)}
        for line in invoice["lines"]["data"]
    ]
    answer["total"] = written(invoice["amount_due"], currency)
    answer["at_once"] = feature["proration_behavior"] == "always_invoice"
    return answer


def carry_out(sim: Simulator, session: Obj, feature: Obj, wish: Wish) -> None:
    subscription = _own(sim, session, wish)
    item = _item(sim, subscription, feature, wish)
    if _waits(sim, subscription, feature, wish):
        _at_period_end(sim, subscription, wish)
        return
    changes.update(
        sim,
        subscription,
        {"items": [item], "proration_behavior": feature["proration_behavior"]},
    )


def _at_period_end(sim: Simulator, subscription: Obj, wish: Wish) -> None:
    if subscription["schedule"]:
        schedules.release(sim, sim.find("subscription_schedule", subscription["schedule"]))
    schedule = schedules.from_subscription(sim, subscription, {})
    now = schedule["phases"][0]
    items = [{"price": item["price"], "quantity": item.get("quantity", 1)} for item in now["items"]]
    asked = {
        "phases": [
            {"items": items, "start_date": now["start_date"], "end_date": now["end_date"]},
            {"items": [{"price": wish.price, "quantity": wish.quantity}]},
        ]
    }
    schedules.update(sim, schedule, asked)


def _waits(sim: Simulator, subscription: Obj, feature: Obj, wish: Wish) -> bool:
    """Downgrades wait for the end of the period where the configuration says so."""
    conditions = {one["type"] for one in feature["schedule_at_period_end"]["conditions"]}
    item = standing.items_of(sim, subscription)[0]
    old, new = sim.find("price", item["price"]), sim.find("price", wish.price)
    currency = subscription["currency"]
    before = amount_of(old, item.get("quantity", 1), currency)
    after = amount_of(new, wish.quantity, currency)
    shorter = _months(new) < _months(old)
    cheaper = after / _months(new) < before / _months(old)
    return ("shortening_interval" in conditions and shorter) or (
        "decreasing_item_amount" in conditions and cheaper and not shorter
    )


def _item(sim: Simulator, subscription: Obj, feature: Obj, wish: Wish) -> Obj:
    allowed = {key for product in feature.get("products") or [] for key in product["prices"]}
    current = standing.items_of(sim, subscription)[0]
    if wish.price not in allowed | {current["price"]}:
        raise StripeError("This plan cannot be chosen in the portal.")
    return {"id": current["id"], "price": wish.price, "quantity": wish.quantity}


def _own(sim: Simulator, session: Obj, wish: Wish) -> Obj:
    subscription = sim.find("subscription", wish.subscription)
    if subscription["customer"] != session["customer"]:
        raise missing("subscription", wish.subscription)
    return subscription


def _months(price: Obj) -> float:
    recurring = price["recurring"]
    return float(MONTHS[recurring["interval"]] * recurring["interval_count"])
