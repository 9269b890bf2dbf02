"""What a plan holds of a meter or a feature, in a few words."""

from typing import Literal

from django.utils.translation import gettext as _

from billing.catalog.money import format_rate
from billing.catalog.schema import Catalog, Limit, Meter, PlanFeature
from billing.presentation.buttons import Terms
from billing.presentation.quantities import number, quantity

Content = tuple[str, Literal["included", "planned", "absent"]]


def of_limit(meter: Meter, limit: Limit | None, terms: Terms) -> Content:
    if limit is None or limit.amount == 0:
        return _("Not included"), "absent"
    if limit.text is not None:
        return str(limit.text), "included"
    amount = quantity(limit.amount, meter.display)
    if limit.contract and limit.amount is not None:
        return _("From %(amount)s") % {"amount": amount}, "included"
    per = {"seat": _("%(amount)s per seat"), "member": _("%(amount)s per member")}
    amount = per.get(limit.per, "%(amount)s") % {"amount": amount}
    return _with_what_follows(amount, meter, limit, terms), "included"


def _with_what_follows(amount: str, meter: Meter, limit: Limit, terms: Terms) -> str:
    """What happens above the amount, where that is not plain from the meter itself."""
    overage = limit.overage
    if overage is not None and terms.currency in overage.rates:
        return _("%(amount)s, then %(rate)s per %(units)s") % {
            "amount": amount,
            "rate": format_rate(overage.rates[terms.currency], terms.currency),
            "units": number(overage.per),
        }
    if meter.kind == "flow" and limit.hard and limit.amount is not None:
        return _("%(amount)s, then stop") % {"amount": amount}
    return amount


def of_feature(catalog: Catalog, key: str, feature: PlanFeature | None) -> Content:
    if feature is None:
        return _("Not included"), "absent"
    if catalog.features[key].state == "planned":
        return _("Planned"), "planned"
    if feature.text is not None:
        return str(feature.text), "included"
    if isinstance(feature.value, int):
        return number(feature.value), "included"
    return feature.value or _("Included"), "included"
