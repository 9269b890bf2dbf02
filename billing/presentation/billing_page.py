"""All that the billing page shows, from our own rows alone: never Stripe, never its mirror."""

from dataclasses import dataclass

from django.utils import timezone

from billing import catalog
from billing.entitlement import store
from billing.gateway import stripe_api
from billing.models import BillingAccount, EffectivePlan, Source, Subscription, SubscriptionPlan
from billing.presentation import invoices, matrix, overview, packs, standing_notes
from billing.presentation.buttons import Standing, Terms
from billing.subscription import audience, trials
from orgs.models import Membership, Organization

_TRIED = (Source.TRIAL, Source.PILOT, Source.BETA)


@dataclass(frozen=True, kw_only=True)
class BillingPage:
    is_set_up: bool
    overview: overview.Overview
    scheduled: standing_notes.Scheduled | None
    discount: str
    seats: standing_notes.SeatsForm | None
    can_cancel: bool
    can_keep: bool  # something is scheduled that one may undo
    takes_codes: bool  # here, and not on the payment page alone
    packs: packs.Part
    matrix: matrix.Matrix
    invoices: list[invoices.Row]


def of(organization: Organization, wanted: Terms) -> BillingPage:
    effective = store.current(organization)
    account = BillingAccount.objects.filter(organization=organization).first()
    standing = standing_notes.standing_of(organization)
    with timezone.override(organization.time_zone):
        return BillingPage(
            is_set_up=stripe_api.is_configured(),
            overview=overview.of(effective, account),
            scheduled=standing_notes.scheduled(standing),
            discount=standing_notes.discount(standing),
            seats=standing_notes.seats(effective),
            can_keep=_can_keep(effective, standing),
            takes_codes=_takes_codes(effective),
            can_cancel=effective.source == Source.STRIPE and effective.ends_at is None,
            packs=packs.of(organization, effective),
            matrix=_matrix(_standing(effective, account, standing), wanted),
            invoices=invoices.newest(organization),
        )


def _takes_codes(effective: EffectivePlan) -> bool:
    """Stripe's codes need a subscription that goes on; our own credit whoever has an account."""
    subscribed = effective.source == Source.STRIPE and effective.ends_at is None
    return subscribed or (stripe_api.is_configured() and bool(catalog.current().promotions.credits))


def _can_keep(effective: EffectivePlan, standing: Subscription | None) -> bool:
    ends = effective.source == Source.STRIPE and effective.ends_at is not None
    return ends or (standing is not None and "at" in standing.scheduled)


def matrix_of(organization: Organization, wanted: Terms) -> matrix.Matrix:
    account = BillingAccount.objects.filter(organization=organization).first()
    held = standing_notes.standing_of(organization)
    return _matrix(_standing(store.current(organization), account, held), wanted)


def _matrix(standing: Standing, wanted: Terms) -> matrix.Matrix:
    sold = catalog.current()
    plans = SubscriptionPlan.objects.of_catalog(sold.key).on_sale().in_order().with_terms()
    return matrix.build(sold, list(plans), standing, wanted)


def _standing(
    effective: EffectivePlan, account: BillingAccount | None, held: Subscription | None
) -> Standing:
    organization = effective.organization
    pays = effective.source == Source.STRIPE
    giver = audience.plan_giver(organization)
    return Standing(
        kind=effective.organization.kind,
        sells=stripe_api.is_configured(),
        plan_key=effective.plan.key,
        subscribed=held is not None,
        ending=pays and effective.ends_at is not None,
        tries_it=effective.source in _TRIED,
        terms=Terms(interval=effective.interval, currency=effective.currency) if pays else None,
        fixed_currency=account.currency if account else "",
        members=Membership.objects.filter(organization=organization).count(),
        plan_giver=giver.name if giver is not None else "",
        trials=trials.offered(effective),
    )
