"""The page of the plan-change simulator: a catalogue is edited, asked about, and thrown away."""

from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from billing.admin.downloads import spreadsheet
from billing.catalog import loading
from billing.catalog.amounts import format_amount
from billing.catalog.loading import CatalogInvalid
from billing.catalog.money import format_money
from billing.catalog.schema import Catalog
from billing.insight import revenue
from billing.insight.revenue import Paying
from orgs.staff_site import StaffPage, add_page, render_page
from quotas.reading import what_if
from quotas.reading.what_if import Answer, Outcome

_LARGEST = 512 * 1024
_SHOWN = 200


class WhatIfForm(forms.Form):
    source = forms.CharField(
        label=gettext_lazy("Catalogue, as TOML"),
        required=False,
        max_length=_LARGEST,
        widget=forms.Textarea(attrs={"class": "source", "spellcheck": "false", "rows": 30}),
    )
    file = forms.FileField(label=gettext_lazy("or a file"), required=False)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        file = data.get("file")
        if file is not None:
            if file.size > _LARGEST:
                raise forms.ValidationError(_("The file is too large."))
            try:
                data["source"] = file.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                raise forms.ValidationError(_("The file is not UTF-8.")) from None
        if not data.get("source", "").strip():
            raise forms.ValidationError(_("Paste a catalogue, or choose a file."))
        return data


@require_http_methods(["GET", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    if request.method == "GET":
        text = loading.path_of(settings.CATALOG).read_text(encoding="utf-8")
        return _page(request, WhatIfForm(initial={"source": text}))
    form = WhatIfForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, form, status=422)
    text = form.cleaned_data["source"]
    shown = WhatIfForm(initial={"source": text})
    try:
        candidate = what_if.read(text)
    except CatalogInvalid as error:
        return _page(request, shown, status=422, problems=[str(one) for one in error.problems])
    answer = what_if.ask(candidate)
    if "csv" in request.POST:
        return spreadsheet("what-if", what_if.export(answer))
    return _page(request, shown, answer=_shown(answer, candidate))


def _page(
    request: HttpRequest, form: WhatIfForm, *, status: int = 200, **context: Any
) -> HttpResponse:
    return render_page(
        request, "staff/what_if.html", _("What if?"), status=status, form=form, **context
    )


def _shown(answer: Answer, candidate: Catalog) -> dict[str, Any]:
    currencies = sorted({*answer.before, *answer.after})
    return {
        "found": answer,
        "money": [
            (
                currency.upper(),
                _money(answer.before.get(currency), currency),
                _money(answer.after.get(currency), currency),
                _money(answer.after.get(currency, 0) - answer.before.get(currency, 0), currency),
            )
            for currency in currencies
        ],
        "rows": [_row(outcome, candidate) for outcome in answer.outcomes[:_SHOWN]],
        "left_out": max(len(answer.outcomes) - _SHOWN, 0),
    }


def _row(outcome: Outcome, candidate: Catalog) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "effects": [
            {
                "name": str(candidate.meters[effect.meter].name),
                "used": format_amount(effect.used, candidate.meters[effect.meter]),
                "now": format_amount(effect.now, candidate.meters[effect.meter]),
                "then": format_amount(effect.then, candidate.meters[effect.meter]),
                "goes_over": effect.over_then and not effect.over_now,
                "over": effect.over_then,
            }
            for effect in outcome.effects
        ],
        "now": _paid(outcome.now),
        "then": _paid(outcome.then),
    }


def _paid(paying: Paying | None) -> str:
    return "" if paying is None else _money(paying.amount, paying.currency)


def _money(amount: Any, currency: str) -> str:
    return format_money(revenue.rounded(amount or revenue.NOTHING), currency)


add_page(
    StaffPage(
        route="what-if/",
        name="what-if",
        view=page,
        permission="billing.view_subscriptionplan",
        title=gettext_lazy("What if? (plan changes)"),
    )
)
