"""Packs on the billing page: what the plan offers, what is held, what is left of credits."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from billing import catalog, ports
from billing.catalog.amounts import format_amount
from billing.catalog.money import format_money
from billing.exceptions import BillingError
from billing.models import EffectivePlan, ExtraPrice, Source
from billing.presentation.formats import day
from billing.subscription import credit_packs, holding
from billing.subscription.holding import Holding
from orgs.models import Organization

_SHOWN = 10  # packs of credits; the API lists them all


@dataclass(frozen=True, kw_only=True)
class Addon:
    """`coming` says what a scheduled change makes of it; empty where it stays."""

    key: str
    name: str
    price: str
    held: int
    most: int
    coming: str


@dataclass(frozen=True, kw_only=True)
class Credits:
    key: str
    name: str
    price: str
    validity: str


@dataclass(frozen=True, kw_only=True)
class Extra:
    """A meter's extra usage in the running period, in words."""

    name: str
    so_far: str
    projected: str


@dataclass(frozen=True, kw_only=True)
class Part:
    addons: tuple[Addon, ...]
    credits: tuple[Credits, ...]
    left: tuple[str, ...]
    extras: tuple[Extra, ...]

    def __bool__(self) -> bool:
        return bool(self.addons or self.credits or self.left)


def of(organization: Organization, effective: EffectivePlan) -> Part:
    """Dates are written in the active time zone."""
    held = _held(organization, effective)
    return Part(
        addons=tuple(_addons(held)) if held is not None else (),
        credits=tuple(_credits(credit_packs.offered(effective))),
        left=tuple(_left(organization)),
        extras=tuple(_extras(organization)),
    )


def _held(organization: Organization, effective: EffectivePlan) -> Holding | None:
    if effective.source != Source.STRIPE:
        return None
    try:
        return holding.of(organization)
    except BillingError:
        return None


def _addons(held: Holding) -> list[Addon]:
    """Those on sale for the plan, and those that are held though nobody sells them any more."""
    entries = catalog.current().addons
    sold = {
        row.key: row
        for row in ExtraPrice.objects.of_catalog(catalog.current().key)
        .of_kind(ExtraPrice.Kind.ADDON)
        .purchasable()
        .for_terms(held.price.interval, held.price.currency)
        .order_by("pk")
        if row.key in entries and held.plan_key in entries[row.key].plans
    }
    held_rows = {key: extra for key, (_item, extra) in held.packs.items()}
    return [_addon(held, key, row) for key, row in {**sold, **held_rows}.items()]


def _addon(held: Holding, key: str, row: ExtraPrice) -> Addon:
    entry = catalog.current().addons.get(key)
    quantity = held.packs[key][0]["quantity"] if key in held.packs else 0
    each = _("%(amount)s a year") if row.interval == "year" else _("%(amount)s a month")
    return Addon(
        key=key,
        name=str(entry.name) if entry else key,
        price=each % {"amount": format_money(int(row.unit_amount), row.currency)},
        held=quantity,
        most=entry.max_quantity if entry else quantity,
        coming=_coming(held, key, quantity),
    )


def _coming(held: Holding, key: str, quantity: int) -> str:
    coming, at = held.coming, held.subscription.current_period_end
    if coming is None or at is None or coming.packs.get(key, 0) == quantity:
        return ""
    then = coming.packs.get(key, 0)
    if not then:
        return _("Ends on %(day)s.") % {"day": day(at)}
    return _("%(n)s from %(day)s.") % {"n": then, "day": day(at)}


def _credits(rows: list[ExtraPrice]) -> list[Credits]:
    entries = catalog.current().credit_packs
    return [
        Credits(
            key=row.key,
            name=str(entries[row.key].name),
            price=format_money(int(row.unit_amount), row.currency),
            validity=_validity(row),
        )
        for row in rows
    ]


def _validity(row: ExtraPrice) -> str:
    days = row.terms.get("expires_after_days")
    if not days:
        return _("They do not expire.")
    return _("Used after the included amount, within %(days)s days.") % {"days": days}


def _left(organization: Organization) -> list[str]:
    meters = catalog.current().meters
    found = []
    live = ports.usage().credits(organization, most=_SHOWN + 1)
    for credit in live[:_SHOWN]:
        meter = meters.get(credit.meter)
        if meter is None:
            continue
        words = {
            "amount": format_amount(credit.left, meter),
            "meter": meter.name,
            "day": day(credit.expires_at) if credit.expires_at else "",
        }
        sentence = _("%(meter)s: %(amount)s prepaid left.") % words
        if credit.expires_at is not None:
            sentence = _("%(meter)s: %(amount)s prepaid left, until %(day)s.") % words
        found.append(sentence)
    if len(live) > _SHOWN:
        found.append(_("And more, used after these."))
    return found


def _extras(organization: Organization) -> list[Extra]:
    meters = catalog.current().meters
    return [
        Extra(
            name=str(meters[extra.meter].name),
            so_far=format_money(extra.so_far, extra.currency),
            projected=format_money(extra.projected, extra.currency),
        )
        for extra in ports.usage().extras(organization)
    ]
