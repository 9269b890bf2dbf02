"""The forms of the Usage page: extra usage up to a cap or none, and alerts."""

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from billing import catalog
from billing.catalog.amounts import format_amount
from billing.catalog.money import exponent, to_decimal
from billing.entitlement.store import current
from orgs.capabilities import Capability
from orgs.decorators import requires
from orgs.requests import OrgRequest
from quotas import controls
from quotas.forms import AlertsForm, OverageForm
from quotas.reaction import alerts
from quotas.reading.usage import Price, Usage, prices


@dataclass(frozen=True, slots=True, kw_only=True)
class OverageControl:
    """What the form of one meter shows. `cap` and `step` are in major units."""

    meter: str
    name: str
    limit: str
    currency: str
    cap: str
    step: str
    stops: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertControl:
    percent: int
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    overages: list[OverageControl]
    alerts: list[AlertControl]


def controls_of(request: OrgRequest, usage: Usage) -> Controls | None:
    """None for those who may not decide."""
    if Capability.USAGE_MANAGE not in request.capabilities:
        return None
    priced = usage.prices
    return Controls(
        overages=[
            OverageControl(
                meter=reading.key,
                name=str(reading.meter.name),
                limit=format_amount(reading.limit, reading.meter),
                currency=priced[reading.key].currency.upper(),
                cap=_major(priced[reading.key]),
                step=f"{10 ** -exponent(priced[reading.key].currency):g}",
                stops=priced[reading.key].stops,
            )
            for reading in usage.readings
            if reading.key in priced and reading.limit is not None
        ],
        alerts=_alerts(alerts.thresholds(request.organization)),
    )


@never_cache
@require_POST
@requires(Capability.USAGE_MANAGE)
def overage(request: OrgRequest, slug: str) -> HttpResponse:
    priced = prices(current(request.organization))
    meter = request.POST.get("meter", "")
    if meter not in priced:
        messages.error(request, _("Your plan bills no extra usage of this."))
        return _back(slug)
    form = OverageForm(request.POST, currency=priced[meter].currency)
    if form.is_valid():
        controls.decide(request.organization, meter, form.decision(), actor=request.user)
        messages.success(request, _("Saved. It applies at once."))
    else:
        _complain(request, form)
    return _back(slug)


@never_cache
@require_POST
@requires(Capability.USAGE_MANAGE)
def notify(request: OrgRequest, slug: str) -> HttpResponse:
    form = AlertsForm(request.POST)
    if form.is_valid():
        controls.set_thresholds(request.organization, form.chosen(), actor=request.user)
        messages.success(request, _("Alerts saved."))
    else:
        _complain(request, form)
    return _back(slug)


def _complain(request: OrgRequest, form: OverageForm | AlertsForm) -> None:
    for errors in form.errors.values():
        for error in errors:
            messages.error(request, str(error))


def _back(slug: str) -> HttpResponse:
    return redirect("quotas:usage", slug=slug)


def _alerts(chosen: list[int]) -> list[AlertControl]:
    offered = sorted({*catalog.current().alerts.thresholds, *chosen})
    return [AlertControl(percent=percent, chosen=percent in chosen) for percent in offered]


def _major(price: Price) -> str:
    """Without a fraction that is nothing: 25, not 25.00."""
    if price.cap is None:
        return ""
    amount = to_decimal(price.cap, price.currency)
    whole = amount.to_integral_value()
    return str(whole if whole == amount else amount)
