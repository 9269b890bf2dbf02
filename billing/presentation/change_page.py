"""The page before a change or a cancellation: what it costs, what it gives, what it takes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing import catalog
from billing.catalog.amounts import format_amount
from billing.catalog.schema import Meter
from billing.models import PlanPrice
from billing.presentation import over_limit, receipt
from billing.presentation.formats import day
from billing.subscription.cancellation import REASONS, Leaving
from billing.subscription.consequences import Consequences, LimitChange, Surplus
from billing.subscription.holding import Coming
from billing.subscription.preview import Preview


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Sentences; empty tuples where nothing of the kind happens."""

    limits: tuple[str, ...]
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    over: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ChangePage:
    title: str
    when: str
    # What was scheduled and will not happen any more; empty where nothing was.
    replaces: str
    button: str
    today: tuple[receipt.Row, ...]
    next_day: str
    next_invoice: tuple[receipt.Row, ...]
    effects: Effects
    quote: str


@dataclass(frozen=True, kw_only=True)
class CancelPage:
    title: str
    when: str
    button: str
    effects: Effects
    reasons: tuple[tuple[str, str], ...]


def of_change(shown: Preview) -> ChangePage:
    """Dates are written in the active time zone."""
    on = day(shown.effective_at)
    return ChangePage(
        title=_("Change to %(terms)s") % {"terms": _terms(shown.price, shown.seats, shown.addons)},
        when=f"{_when(shown)} {_('Your cancellation is taken back.')}"
        if shown.stays
        else _when(shown),
        replaces=_replaced(shown.replaces) if shown.replaces else "",
        button=_("Confirm the change") if shown.at_once else _("Change on %(day)s") % {"day": on},
        today=receipt.rows(shown.today, due_label=_("Charged today")) if shown.today else (),
        next_day=day(shown.next_invoice.at),
        next_invoice=receipt.rows(shown.next_invoice.receipt, due_label=_("Expected total")),
        effects=_effects(shown.consequences),
        quote=shown.quote,
    )


def of_cancellation(leaving: Leaving) -> CancelPage:
    on = {"plan": leaving.plan.name, "day": day(leaving.ends_at), "next": leaving.falls_to.name}
    return CancelPage(
        title=_("Cancel %(plan)s") % on,
        when=_("%(plan)s ends at once, and %(next)s follows. Nothing is deleted.") % on
        if leaving.at_once
        else _("You keep %(plan)s until %(day)s. Then %(next)s follows; nothing is deleted.") % on,
        button=_("Cancel now") if leaving.at_once else _("Cancel on %(day)s") % on,
        effects=_effects(leaving.consequences),
        reasons=tuple((key, str(text)) for key, text in REASONS.items())
        if leaving.asks_reason
        else (),
    )


def _replaced(coming: Coming) -> str:
    terms = _terms(coming.price, coming.seats, coming.packs)
    return _("What is scheduled for %(day)s will not happen then: %(terms)s.") % {
        "day": day(coming.at),
        "terms": terms,
    }


def _terms(price: PlanPrice, seats: int, addons: Mapping[str, int]) -> str:
    yearly = price.interval == PlanPrice.Interval.YEAR
    parts = [price.plan.name, _("billed yearly") if yearly else _("billed monthly")]
    if price.plan.per_seat:
        parts.append(ngettext("%(n)d seat", "%(n)d seats", seats) % {"n": seats})
    entries = catalog.current().addons
    for key, number in addons.items():
        parts.append(f"{number} x {entries[key].name if key in entries else key}")
    return ", ".join(parts)


def _when(shown: Preview) -> str:
    if not shown.at_once:
        on = {"day": day(shown.effective_at)}
        return _("This happens on %(day)s. You can undo it until then.") % on
    if shown.today is not None:
        return _("This happens at once. Stripe computes the amounts to the second.")
    return _("This happens at once. Nothing is charged today.")


def _effects(found: Consequences) -> Effects:
    features = catalog.current().features
    return Effects(
        limits=tuple(_limit(change) for change in found.limits),
        gained=tuple(str(features[key].name) for key in found.gained),
        lost=tuple(str(features[key].name) for key in found.lost),
        over=tuple(_surpluses(found.over)),
    )


def _limit(change: LimitChange) -> str:
    meter = catalog.current().meters[change.meter]
    return _("%(meter)s: %(before)s → %(after)s") % {
        "meter": meter.name,
        "before": format_amount(change.before, meter),
        "after": format_amount(change.after, meter),
    }


def _surpluses(found: tuple[Surplus, ...]) -> Iterator[str]:
    for surplus in found:
        meter = catalog.current().meters[surplus.meter]
        uses = _uses(meter) % {
            "meter": meter.name,
            "used": format_amount(surplus.used, meter),
            "limit": format_amount(surplus.limit, meter),
            "surplus": format_amount(surplus.amount, meter),
        }
        yield f"{uses} {meter.at_limit} {over_limit.sentence(surplus.policy)}"


def _uses(meter: Meter) -> str:
    """Things that are counted are too many; sizes and hours are too much."""
    if meter.display == "count":
        return _("%(meter)s: you use %(used)s of %(limit)s, %(surplus)s too many.")
    return _("%(meter)s: you use %(used)s of %(limit)s, %(surplus)s too much.")
