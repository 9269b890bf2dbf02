"""A plan to try: a grant of ours without Stripe and without a card, once, ending by itself."""

from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing import catalog
from billing.catalog.policies import Trial
from billing.entitlement import access, clock, grants, store
from billing.exceptions import BillingError, TrialRefused, UnknownPlan
from billing.gateway import locks
from billing.models import EffectivePlan, Grant, Source
from billing.subscription import customers, trial_rules, wishes
from orgs.models import Organization, User

logger = structlog.get_logger(__name__)


def offered(effective: EffectivePlan) -> dict[str, int]:
    """Plan → days, for the plans that this organization may still try."""
    organization = effective.organization
    if (
        effective.source not in trial_rules.FREE_TO_TRY
        or trial_rules.refusal_of_organization(organization) is not None
    ):
        return {}
    return {
        key: plan.trial.days
        for key, plan in catalog.current().plans.items()
        if plan.trial is not None and not plan.trial.stripe and organization.kind in plan.audience
    }


def start(organization: Organization, person: User, plan_key: str) -> EffectivePlan:
    """Full access from now on for the plan's days. Raises UnknownPlan and TrialRefused."""
    trial = _trial_of(plan_key)
    _start_the_clock(organization)
    return _give(organization, person, plan_key, trial)


def _start_the_clock(organization: Organization) -> None:
    """A test clock begins when the organization was made: a trial must not begin before it."""
    if not settings.STRIPE_TEST_CLOCKS:
        return
    try:
        customers.ensure(organization)
    except BillingError as error:
        logger.warning("billing.trial_without_its_clock", code=error.code)


@transaction.atomic
def _give(organization: Organization, person: User, plan_key: str, trial: Trial) -> EffectivePlan:
    access.check_paid_action(organization)
    locks.wait_for(f"trial:{trial_rules.person_mark(person)}")
    store.lock_account(organization)
    refusal = trial_rules.refusal(organization, person, trial)
    if refusal is not None:
        raise refusal
    trial_rules.remember(organization, person)
    now = clock.now_for(organization)
    grant = Grant(
        organization=organization,
        source=Source.TRIAL,
        plan_key=plan_key,
        seats=_seats(organization, plan_key),
        reason=ngettext("Trial of %(days)d day", "Trial of %(days)d days", trial.days)
        % {"days": trial.days},
        starts_at=now,
        ends_at=now + timedelta(days=trial.days),
    )
    return grants.give(grant, actor=person)


def _trial_of(plan_key: str) -> Trial:
    """Trials that Stripe runs begin at Checkout, not here."""
    plan = catalog.current().plans.get(plan_key)
    if plan is None:
        raise UnknownPlan(_("There is no plan “%(plan)s”.") % {"plan": plan_key}, field="tier")
    if plan.trial is None or plan.trial.stripe:
        raise TrialRefused(
            _("%(plan)s has no trial.") % {"plan": str(plan.name)}, reason="no_trial"
        )
    return plan.trial


def _seats(organization: Organization, plan_key: str) -> int:
    plan = catalog.current().plans[plan_key]
    if not plan.per_seat:
        return 1
    wanted = max(plan.seats.min, wishes.seats_in_use(organization, plan_key))
    return wanted if plan.seats.max is None else min(wanted, plan.seats.max)
