"""A plan to try: a grant of ours without Stripe and without a card, once, ending by itself."""

import hashlib
import hmac
from datetime import timedelta
from typing import Final

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing import catalog
from billing.catalog.policies import Trial
from billing.entitlement import access, clock, grants, store
from billing.exceptions import TrialRefused, UnknownPlan
from billing.gateway import locks
from billing.models import EffectivePlan, Grant, Source
from billing.subscription import wishes
from orgs.models import Organization, User

_FREE_TO_TRY: Final = frozenset({Source.DEFAULT, Source.BETA})


def offered(effective: EffectivePlan) -> dict[str, int]:
    """Plan → days, for the plans that this organization may still try."""
    organization = effective.organization
    if effective.source not in _FREE_TO_TRY or _organization_refusal(organization) is not None:
        return {}
    return {
        key: plan.trial.days
        for key, plan in catalog.current().plans.items()
        if plan.trial is not None and not plan.trial.stripe and organization.kind in plan.audience
    }


@transaction.atomic
def start(organization: Organization, person: User, plan_key: str) -> EffectivePlan:
    """Full access from now on for the plan's days. Raises UnknownPlan and TrialRefused."""
    trial = _trial_of(plan_key)
    access.check_paid_action(organization)
    mark = _mark(person)
    locks.wait_for(f"trial:{mark}")
    store.lock_account(organization)
    refusal = _organization_refusal(organization) or _person_refusal(mark, trial)
    if refusal is not None:
        raise refusal
    now = clock.now_for(organization)
    grant = Grant(
        organization=organization,
        source=Source.TRIAL,
        plan_key=plan_key,
        seats=_seats(organization, plan_key),
        reason=ngettext("Trial of %(days)d day", "Trial of %(days)d days", trial.days)
        % {"days": trial.days},
        terms={"person": mark},
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


def _organization_refusal(organization: Organization) -> TrialRefused | None:
    if organization.grants.filter(source=Source.TRIAL).exists():
        return TrialRefused(_("This workspace has had its trial."), reason="used_by_organization")
    if organization.subscriptions.exists():
        return TrialRefused(
            _("This workspace has paid before, so there is nothing to try."), reason="has_paid"
        )
    if store.current(organization).source not in _FREE_TO_TRY:
        return TrialRefused(_("This workspace has a plan already."), reason="has_plan")
    return None


def _person_refusal(mark: str, trial: Trial) -> TrialRefused | None:
    tried = Grant.objects.filter(source=Source.TRIAL, terms__person=mark)
    if "person" in trial.once_per and tried.exists():
        return TrialRefused(
            _("You have had a trial in another workspace."), reason="used_by_person"
        )
    return None


def _mark(person: User) -> str:
    """Stands for a verified address without being one, so that it may be kept for ever."""
    address = EmailAddress.objects.filter(user=person, email=person.email, verified=True).first()
    if address is None:
        raise TrialRefused(_("Please confirm your e-mail address first."), reason="not_verified")
    digest = hmac.new(settings.SECRET_KEY.encode(), _plain(address.email).encode(), hashlib.sha256)
    return digest.hexdigest()


def _plain(email: str) -> str:
    """`ann+two@example.com` is the mailbox of `ann@example.com`."""
    name, _at, domain = email.lower().rpartition("@")
    return f"{name.partition('+')[0]}@{domain}"


def _seats(organization: Organization, plan_key: str) -> int:
    plan = catalog.current().plans[plan_key]
    if not plan.per_seat:
        return 1
    wanted = max(plan.seats.min, wishes.seats_in_use(organization, plan_key))
    return wanted if plan.seats.max is None else min(wanted, plan.seats.max)
