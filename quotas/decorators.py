"""Quotas in our own views: features that the plan must have, and uses that it must allow."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from uuid import uuid4

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from billing import catalog
from billing.entitlement.access import check_paid_action
from billing.entitlement.store import current
from billing.exceptions import AccountLocked, PaymentRequired
from orgs.models import Organization
from quotas.engine import enforcement, modes, observing
from quotas.engine.decisions import Reason
from quotas.exceptions import FeatureUnavailable
from quotas.models import Enforcement

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

Amount = int | Callable[[HttpRequest], int]


def has_feature(organization: Organization, feature: str) -> bool:
    """Beta has every feature that is not only planned."""
    effective = current(organization)
    if effective.is_beta:
        known = catalog.current().features.get(feature)
        return known is not None and known.state == "available"
    return effective.plan.offers(feature)


def require_feature(organization: Organization, feature: str) -> None:
    """Raises FeatureUnavailable, and for a paid feature what an unpaid invoice refuses: 403.

    Observe mode writes it down instead; what is only planned nobody gets in any mode.
    """
    mode = modes.of(organization, feature)
    if has_feature(organization, feature):
        _refuse_while_owing(organization, feature, mode)
        return
    planned = _is_planned(feature)
    if mode == Enforcement.OBSERVE and not planned:
        observing.note(
            organization.pk, observing.Source.FEATURE, feature, Reason.FEATURE_UNAVAILABLE
        )
    if mode == Enforcement.ENFORCE or planned:
        known = catalog.current().features.get(feature)
        name = feature if known is None else str(known.name)
        raise FeatureUnavailable(
            _("The plan of this organization does not include “%(feature)s”.") % {"feature": name},
            feature=feature,
        )


def _refuse_while_owing(organization: Organization, feature: str, mode: str) -> None:
    """What the default plan has is no paid act, and reading is none either."""
    sold = catalog.current()
    if feature in sold.plan_features(sold.default_plan):
        return
    try:
        check_paid_action(organization)
    except (AccountLocked, PaymentRequired) as refusal:
        if mode == Enforcement.ENFORCE:
            raise
        if mode == Enforcement.OBSERVE:
            observing.note(organization.pk, observing.Source.FEATURE, feature, refusal.code)


def _is_planned(feature: str) -> bool:
    known = catalog.current().features.get(feature)
    return known is None or known.state != "available"


def requires_feature(feature: str) -> Callable[[View[P]], View[P]]:
    """For views of an organization (`request.organization`)."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            require_feature(_organization(request), feature)
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def consumes(meter: str, amount: Amount = 1) -> Callable[[View[P]], View[P]]:
    """Counts the use in one transaction with the view: a refusal, an error or an answer of 400
    and more undoes both. The Idempotency-Key header makes a repeated form count once."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def counted(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            with transaction.atomic():
                enforcement.consume(
                    _organization(request),
                    meter,
                    amount(request) if callable(amount) else amount,
                    idempotency_key=request.headers.get("Idempotency-Key") or uuid4().hex,
                    member=_member(request),
                ).or_raise()
                response = view(request, *args, **kwargs)
                if response.status_code >= 400:  # noqa: PLR2004  the view did not do it
                    transaction.set_rollback(True)
                return response

        return counted

    return decorate


def _organization(request: HttpRequest) -> Organization:
    organization: Organization = request.organization  # type: ignore[attr-defined]
    return organization


def _member(request: HttpRequest) -> str:
    """The membership's id: opaque, so that anonymizing needs no change of the ledger."""
    membership: Any = getattr(request, "membership", None)
    return "" if membership is None else str(membership.pk)
