"""The forms of the Usage page."""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.catalog.money import NotAnAmount, exponent, from_decimal
from quotas.controls import Decision
from quotas.models import UsageControl
from quotas.reading.usage import FULL

MOST = 10**9  # of a cap, in major units


class OverageForm(forms.Form):
    """Either keep going up to a cap, or stop at the included amount."""

    choice = forms.ChoiceField(choices=UsageControl.Choice.choices)
    cap = forms.DecimalField(min_value=0, max_value=MOST, required=False)

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency = currency

    def clean_cap(self) -> int | None:
        """In minor units. An empty cap leaves the plan's own."""
        cap: Decimal | None = self.cleaned_data["cap"]
        if cap is None:
            return None
        try:
            return from_decimal(cap, self.currency)
        except NotAnAmount as error:
            places = exponent(self.currency)
            raise forms.ValidationError(
                _("At most %(places)s decimals."), params={"places": places}
            ) from error

    def decision(self) -> Decision:
        """A stop keeps no cap: what counts is what the owner chose last."""
        choice = self.cleaned_data["choice"]
        keeps = choice == UsageControl.Choice.BILL
        return Decision(
            choice=choice,
            cap=self.cleaned_data["cap"] if keeps else None,
            currency=self.currency,
        )


class AlertsForm(forms.Form):
    """Ticked percentages, and one more that somebody typed."""

    thresholds = forms.TypedMultipleChoiceField(
        choices=[(percent, percent) for percent in range(1, FULL + 1)], coerce=int, required=False
    )
    another = forms.IntegerField(min_value=1, max_value=FULL, required=False)

    def chosen(self) -> list[int]:
        another = self.cleaned_data["another"]
        ticked: list[int] = self.cleaned_data["thresholds"]
        return ticked if another is None else [*ticked, another]
