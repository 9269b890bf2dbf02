"""Which plan applies, from where it comes and what it opens, for those who manage billing."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from billing import catalog
from billing.catalog import features
from billing.catalog.amounts import format_amount
from billing.entitlement import clock, contracts, next_action, store
from billing.models import Access, EffectivePlan, Grant, Source
from billing.presentation import pills
from billing.presentation.banner import Action
from billing.presentation.buttons import contact_link
from billing.presentation.formats import day
from orgs.models import Organization

_NEXT: dict[str, str | Promise] = {
    "pay_invoice": gettext_lazy("Pay the open invoice"),
    "resume": gettext_lazy("Keep the subscription, or let it end"),
    "upgrade": gettext_lazy("Choose a plan"),
    "contact_support": gettext_lazy("Write to support"),
}


@dataclass(frozen=True, kw_only=True)
class Feature:
    name: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Given:
    """One grant as its organization may read it; reason and author are for staff alone."""

    source: str
    plan: str
    when: str
    seats: str
    limits: tuple[str, ...]
    terms: contracts.Terms
    payment: str
    reason: str
    author: str


@dataclass(frozen=True, kw_only=True)
class PricingPage:
    plan: str
    source: str
    until: str
    pill: pills.Pill
    access: str
    seats: str
    next_action: str
    action: Action | None
    included: tuple[Feature, ...]
    paid: tuple[Feature, ...]
    unavailable: tuple[Feature, ...]
    given: tuple[Given, ...]
    attention: bool  # new paid-only acts are refused until an invoice is paid


def of(organization: Organization, *, for_staff: bool) -> PricingPage:
    effective = store.current(organization)
    with timezone.override(organization.time_zone):
        return PricingPage(
            plan=effective.plan.name,
            source=str(Source(effective.source).label),
            until=day(effective.ends_at) if effective.ends_at else "",
            pill=pills.of_plan(effective),
            access=str(Access(effective.access).label),
            seats=_seats(effective.seats) if effective.plan.per_seat else "",
            next_action=str(_NEXT.get(next_action.of(effective) or "", _("Nothing to do"))),
            action=_action(effective),
            included=tuple(_included(effective, paid=False)),
            paid=tuple(_included(effective, paid=True)),
            unavailable=tuple(_unavailable(effective)),
            given=tuple(_given(organization, for_staff=for_staff)),
            attention=effective.access != Access.FULL,
        )


def _action(effective: EffectivePlan) -> Action | None:
    billing = reverse("billing:settings", kwargs={"slug": effective.organization.slug})
    wanted = next_action.of(effective)
    if wanted == "upgrade":
        return Action(label=_("Compare plans"), url=f"{billing}#plans", primary=True)
    if wanted is not None:
        return Action(label=_("Go to billing"), url=billing, primary=True)
    if effective.source in {Source.CONTRACT, Source.PILOT, Source.MANUAL}:
        contact = contact_link(catalog.current().contacts.sales)
        return Action(label=_("Talk to us about it"), url=contact)
    return None


def _states(effective: EffectivePlan) -> dict[str, str]:
    """What the plan says of each feature; beta has all of them on but the planned ones."""
    if effective.is_beta:
        return {key: entry.state for key, entry in catalog.current().features.items()}
    return dict(effective.plan.features)


def _included(effective: EffectivePlan, *, paid: bool) -> Iterable[Feature]:
    """`paid`: what the default plan has not."""
    sold = catalog.current()
    free = sold.plan_features(sold.default_plan)
    states = _states(effective)
    for key, entry in sold.features.items():
        if (key not in free) is paid and states.get(key) == "available":
            yield Feature(name=str(entry.name), note=_note(effective, key))


def _note(effective: EffectivePlan, key: str) -> str:
    """What the plan table says of it beside "included", such as a number of days."""
    sold = catalog.current()
    known = effective.plan.key in sold.plans and not effective.is_beta
    found = sold.plan_features(effective.plan.key).get(key) if known else None
    return str(found.text) if found is not None and found.text is not None else ""


def _unavailable(effective: EffectivePlan) -> Iterable[Feature]:
    """Roadmap features too, whoever has paid for a plan that names them."""
    sold = catalog.current()
    states = _states(effective)
    for key, entry in sold.features.items():
        if entry.state == "planned":
            yield Feature(name=str(entry.name), note=_("Planned"))
        elif states.get(key) != "available":
            first = next(iter(features.plans_with(sold, key)), None)
            note = _("From %(plan)s on") % {"plan": sold.plans[first].name} if first else ""
            yield Feature(name=str(entry.name), note=note)


def _given(organization: Organization, *, for_staff: bool) -> Iterable[Given]:
    now = clock.now_for(organization)
    rows = organization.grants.exclude(source=Source.TRIAL).standing(now)
    for grant in rows.select_related("author").order_by("starts_at", "pk"):
        terms = contracts.terms_of(grant)
        days = {"days": terms.net_days}
        yield Given(
            source=str(Source(grant.source).label),
            plan=_plan_name(grant),
            when=_when(grant),
            seats=_seats(grant.seats) if grant.seats else "",
            limits=tuple(_limits(grant)),
            terms=terms,
            payment=_("%(days)s days net") % days if terms.net_days else "",
            reason=grant.reason if for_staff else "",
            author=str(grant.author or _("the system")) if for_staff else "",
        )


def _plan_name(grant: Grant) -> str:
    entry = catalog.current().plans.get(grant.plan_key)
    return str(entry.name) if entry is not None else str(grant.plan_key)


def _when(grant: Grant) -> str:
    words = {"start": day(grant.starts_at)}
    if grant.ends_at is None:
        return _("From %(start)s, without an end") % words
    return _("From %(start)s until %(end)s") % (words | {"end": day(grant.ends_at)})


def _seats(n: int) -> str:
    return ngettext("%(n)d seat", "%(n)d seats", n) % {"n": n}


def _limits(grant: Grant) -> Iterable[str]:
    meters = catalog.current().meters
    for key, amount in grant.limits.items():
        if key in meters:
            yield f"{meters[key].name}: {format_amount(amount, meters[key])}"
