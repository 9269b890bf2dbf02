"""The page of numbers, and the same figures for a spreadsheet."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from billing.admin.downloads import spreadsheet
from billing.catalog.money import format_money
from billing.insight import numbers, revenue
from billing.insight.numbers import Numbers
from orgs import replica
from orgs.staff_reports import kept
from orgs.staff_site import StaffPage, add_page, render_page

_CHOICES = (7, 30, 90, 365)
_LONGEST = 3660


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    days = _days(request)
    return render_page(
        request,
        "staff/numbers.html",
        _("Numbers"),
        days=days,
        kept=kept(request, "staff_numbers", days=days),
        behind=replica.behind(),
        choices=_CHOICES,
        shown=SimpleLazyObject(lambda: _shown(_of_last(days))),
    )


@require_safe
def page_csv(request: HttpRequest) -> HttpResponse:
    return spreadsheet("numbers", numbers.export(_of_last(_days(request))))


def _days(request: HttpRequest) -> int:
    text = request.GET.get("days", "")
    days = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0  # noqa: PLR2004
    return days if 0 < days <= _LONGEST else numbers.DAYS


def _of_last(days: int) -> Numbers:
    return numbers.of(timezone.now() - timedelta(days=days))


def _shown(found: Numbers) -> dict[str, Any]:
    return {
        "found": found,
        "movements": [_movement(one) for one in found.revenue.movements],
        "upgrade_rate": numbers.percent(found.upgrades.rate),
        "trial_rate": numbers.percent(found.trials.rate),
        "owed": [(one, format_money(one.amount, one.currency)) for one in found.owed],
    }


def _movement(movement: revenue.Movement) -> dict[str, Any]:
    def money(amount: Any) -> str:
        return format_money(revenue.rounded(amount), movement.currency)

    names = ("start", "new", "returned", "more", "less", "lost", "end")
    return {
        "currency": movement.currency.upper(),
        "movement": movement,
        **{name: money(getattr(movement, name)) for name in names},
        "logo_churn": numbers.percent(movement.logo_churn),
        "gross_churn": numbers.percent(movement.gross_churn),
        "net_churn": numbers.percent(movement.net_churn),
    }


_LOOK = "billing.view_subscription"
add_page(
    StaffPage(
        route="numbers/", name="numbers", view=page, permission=_LOOK, title=gettext_lazy("Numbers")
    )
)
add_page(StaffPage(route="numbers.csv", name="numbers-csv", view=page_csv, permission=_LOOK))
