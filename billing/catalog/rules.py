"""What must hold between the entries of a catalogue; each broken rule is one readable line."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from billing.catalog import money
from billing.catalog.schema import Addon, Catalog, CreditPack, Limit, Meter, Plan, Seats
from billing.catalog.values import Prices, Text
from orgs.capabilities import Capability

MOST_DECIMALS = 12  # of a unit price at Stripe


class Problem(NamedTuple):
    key: str
    sentence: str

    def __str__(self) -> str:
        """One line, whatever control characters somebody put into a key."""
        line = f"{self.key}: {self.sentence}"
        return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)


Found = Iterator[Problem]


def problems_of(catalog: Catalog, document: Mapping[str, Any]) -> list[Problem]:
    """`document` is the file as written: some slips are invisible once units are resolved."""
    found = [problem for rule in RULES for problem in rule(catalog)]
    return found + list(_amounts_fit_their_meter(catalog, document))


def _texts_speak_every_locale(catalog: Catalog) -> Found:
    for key, text in _texts("", catalog):
        missing = [locale for locale in catalog.locales if locale not in text.root]
        surplus = [locale for locale in text.root if locale not in catalog.locales]
        if missing:
            yield Problem(key, f"has no text in {', '.join(missing)}")
        if surplus:
            yield Problem(key, f"is in {', '.join(surplus)}, which locales does not list")


def _texts(key: str, value: object) -> Iterator[tuple[str, Text]]:
    if isinstance(value, Text):
        yield key, value
        return
    for name, part in _parts(value):
        yield from _texts(f"{key}.{name}" if key else name, part)


def _parts(value: object) -> Iterable[tuple[str, object]]:
    if isinstance(value, BaseModel):
        return ((name, getattr(value, name)) for name in type(value).model_fields)
    if isinstance(value, Mapping):
        return ((str(name), part) for name, part in value.items())
    if isinstance(value, tuple):
        return ((str(number), part) for number, part in enumerate(value))
    return ()


def _the_default_plan_is_free(catalog: Catalog) -> Found:
    plan = catalog.plans.get(catalog.default_plan)
    if plan is None:
        yield Problem("default_plan", f"no plan is called {catalog.default_plan!r}")
    elif plan.kind != "free":
        yield Problem("default_plan", f"{catalog.default_plan!r} is {plan.kind}; it must be free")


def _names_lead_somewhere(catalog: Catalog) -> Found:
    known: dict[str, Iterable[str]] = {
        "plan": catalog.plans,
        "meter": catalog.meters,
        "feature": catalog.features,
        "meter or feature": {**catalog.meters, **catalog.features},
    }
    for names_of in (_named_by_policies, _named_by_plans, _named_by_packs, _named_by_the_matrix):
        for key, name, kind in names_of(catalog):
            if name not in known[kind]:
                yield Problem(key, f"no {kind} is called {name!r}")


Names = Iterator[tuple[str, str, str]]


def _named_by_policies(catalog: Catalog) -> Names:
    for name in catalog.dunning.refused_during_grace:
        yield "dunning.refused_during_grace", name, "meter"
    for name in catalog.enforcement.meters:
        yield f"enforcement.meters.{name}", name, "meter"
    for number, rule in enumerate(catalog.transitions.rules):
        yield f"transitions.rules.{number}.from", rule.source, "plan"
        yield f"transitions.rules.{number}.to", rule.target, "plan"
    for variable, price in catalog.env.prices.items():
        yield f"env.prices.{variable}.plan", price.plan, "plan"


def _named_by_plans(catalog: Catalog) -> Names:
    for key, plan in catalog.plans.items():
        for name in plan.limits:
            yield f"plans.{key}.limits.{name}", name, "meter"
        for name in plan.features:
            yield f"plans.{key}.features.{name}", name, "feature"


def _named_by_packs(catalog: Catalog) -> Names:
    packs: list[tuple[str, Addon | CreditPack]] = [
        *((f"addons.{key}", addon) for key, addon in catalog.addons.items()),
        *((f"credit_packs.{key}", pack) for key, pack in catalog.credit_packs.items()),
    ]
    for where, pack in packs:
        yield f"{where}.meter", pack.meter, "meter"
        for name in pack.plans:
            yield f"{where}.plans", name, "plan"


def _named_by_the_matrix(catalog: Catalog) -> Names:
    for number, group in enumerate(catalog.matrix):
        for name in group.rows:
            yield f"matrix.{number}.rows", name, "meter or feature"


def _keys_are_told_apart(catalog: Catalog) -> Found:
    for name in catalog.meters.keys() & catalog.features.keys():
        yield Problem(f"features.{name}", "a meter has the same key; the plan table needs one")


def _roles_hold_known_capabilities(catalog: Catalog) -> Found:
    for role, names in (("admin", catalog.roles.admin), ("member", catalog.roles.member)):
        for name in names:
            if name not in list(Capability):
                yield Problem(f"roles.{role}", f"no capability is called {name!r}")


def _meters_reset_as_their_kind_does(catalog: Catalog) -> Found:
    for key, meter in catalog.meters.items():
        if meter.kind != "flow" and meter.reset != "never":
            yield Problem(f"meters.{key}.reset", f"a {meter.kind} never resets")


def _every_plan_limits_every_meter(catalog: Catalog) -> Found:
    for key, plan in catalog.plans.items():
        for name in catalog.meters:
            if name not in plan.limits:
                yield Problem(f"plans.{key}.limits.{name}", 'is missing; write 0 or "unlimited"')


def _limits_make_sense(catalog: Catalog) -> Found:
    for key, plan in catalog.plans.items():
        for name, limit in plan.limits.items():
            where = f"plans.{key}.limits.{name}"
            if limit.per == "seat" and not plan.per_seat:
                yield Problem(f"{where}.per", "a limit per seat needs a plan with per_seat = true")
            if limit.contract and plan.kind != "contract":
                yield Problem(f"{where}.contract", "only a plan by contract agrees on amounts")
            yield from _overage_makes_sense(catalog, where, plan, name)


def _overage_makes_sense(catalog: Catalog, where: str, plan: Plan, name: str) -> Found:
    limit, meter = plan.limits[name], catalog.meters.get(name)
    if limit.overage is None:
        return
    where = f"{where}.overage"
    if limit.hard or limit.amount is None:
        yield Problem(where, "only a soft limit with an amount bills overage: set hard = false")
    if plan.kind == "free":
        yield Problem(where, "a free plan has no card to bill overage to")
    if meter is not None and (meter.kind != "flow" or meter.state == "planned"):
        yield Problem(where, f"{name} is {meter.state} and a {meter.kind}: only flows are billed")
    yield from _in_every_currency(catalog, f"{where}.rates", limit.overage.rates)
    yield from _only_listed_currencies(catalog, f"{where}.cap", limit.overage.cap)
    yield from _rates_fit_stripe(where, limit)


def _rates_fit_stripe(where: str, limit: Limit) -> Found:
    if limit.overage is None:
        return
    for currency, rate in limit.overage.rates.items():
        each = rate / limit.overage.per
        if each != round(each, MOST_DECIMALS) or each * limit.overage.per != rate:
            yield Problem(
                f"{where}.rates.{currency}", f"one unit would need over {MOST_DECIMALS} decimals"
            )


def _plans_are_priced_as_their_kind_is(catalog: Catalog) -> Found:
    for key, plan in catalog.plans.items():
        where = f"plans.{key}.prices"
        if plan.kind == "free" and plan.prices:
            yield Problem(where, "a free plan has no price")
        if plan.kind == "paid" and not plan.prices:
            yield Problem(where, "is missing; a paid plan needs a price")
        if plan.kind != "paid" and plan.trial is not None:
            yield Problem(f"plans.{key}.trial", "only a paid plan is tried")
        yield from _priced_in_every_currency(catalog, where, plan.prices)


def _priced_in_every_currency(catalog: Catalog, where: str, prices: Prices) -> Found:
    for interval, by_currency in prices.items():
        yield from _in_every_currency(catalog, f"{where}.{interval}", by_currency)
        for currency, price in by_currency.items():
            step = money.smallest_step(currency)
            if price.amount % step:
                sentence = f"Stripe charges {currency.upper()} in multiples of {step}"
                yield Problem(f"{where}.{interval}.{currency}", sentence)


def _in_every_currency(catalog: Catalog, where: str, priced: Iterable[str]) -> Found:
    listed = set(priced)
    for currency in catalog.currencies:
        if currency not in listed:
            yield Problem(f"{where}.{currency}", "is missing; currencies lists it")
    yield from _only_listed_currencies(catalog, where, listed)


def _only_listed_currencies(catalog: Catalog, where: str, priced: Iterable[str]) -> Found:
    for currency in sorted(set(priced) - set(catalog.currencies)):
        yield Problem(f"{where}.{currency}", "currencies does not list it")


def _seats_belong_to_plans_per_seat(catalog: Catalog) -> Found:
    for key, plan in catalog.plans.items():
        where = f"plans.{key}.seats"
        if not plan.per_seat and plan.seats != Seats():
            yield Problem(where, "only a plan with per_seat = true sells seats")
        if plan.seats.max is not None and plan.seats.max < plan.seats.min:
            yield Problem(f"{where}.max", "is below min")
        yield from _seats_cover_rows(catalog, where, plan)


def _seats_cover_rows(catalog: Catalog, where: str, plan: Plan) -> Found:
    if plan.seats.cover is None:
        return
    meter: Meter | None = catalog.meters.get(plan.seats.cover)
    if meter is None or meter.kind != "rows":
        yield Problem(f"{where}.cover", f"no meter of rows is called {plan.seats.cover!r}")


def _plans_include_earlier_ones(catalog: Catalog) -> Found:
    earlier: list[str] = []
    for key, plan in catalog.plans.items():
        if plan.everything_in is not None and plan.everything_in not in earlier:
            yield Problem(f"plans.{key}.everything_in", "must name a plan above it in the file")
        earlier.append(key)


def _packs_are_priced(catalog: Catalog) -> Found:
    for key, addon in catalog.addons.items():
        yield from _priced_in_every_currency(catalog, f"addons.{key}.prices", addon.prices)
    for key, pack in catalog.credit_packs.items():
        yield from _in_every_currency(catalog, f"credit_packs.{key}.prices", pack.prices)
    for code, credit in catalog.promotions.credits.items():
        where = f"promotions.credits.{code}.amounts"
        yield from _only_listed_currencies(catalog, where, credit.amounts)


def _environment_prices_exist(catalog: Catalog) -> Found:
    for variable, named in catalog.env.prices.items():
        plan = catalog.plans.get(named.plan)
        if plan is not None and named.currency not in plan.prices.get(named.interval, {}):
            sentence = f"{named.plan} has no {named.interval} price in {named.currency}"
            yield Problem(f"env.prices.{variable}", sentence)


def _amounts_fit_their_meter(catalog: Catalog, document: Mapping[str, Any]) -> Found:
    """A size on a meter of hours resolves to a number nobody meant."""
    for key, plan in document.get("plans", {}).items():
        for name, limit in plan.get("limits", {}).items():
            amount = limit.get("amount") if isinstance(limit, Mapping) else limit
            meter = catalog.meters.get(name)
            if meter is not None and not _fits(amount, meter):
                sentence = f"{amount!r} is no amount of {meter.display}"
                yield Problem(f"plans.{key}.limits.{name}", sentence)


def _fits(amount: object, meter: Meter) -> bool:
    if not isinstance(amount, str) or not re.match(r"\d", amount):
        return True
    return meter.display == ("bytes" if amount.endswith("B") else "duration")


RULES: tuple[Callable[[Catalog], Found], ...] = (
    _texts_speak_every_locale,
    _the_default_plan_is_free,
    _names_lead_somewhere,
    _keys_are_told_apart,
    _roles_hold_known_capabilities,
    _meters_reset_as_their_kind_does,
    _every_plan_limits_every_meter,
    _limits_make_sense,
    _plans_are_priced_as_their_kind_is,
    _seats_belong_to_plans_per_seat,
    _plans_include_earlier_ones,
    _packs_are_priced,
    _environment_prices_exist,
)
