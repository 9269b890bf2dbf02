"""The banner about usage: full, approaching, or past the included amount; the worst one."""

from datetime import timedelta

from django.urls import reverse
from django.utils.translation import gettext as _

from billing.catalog.amounts import format_amount, format_count
from billing.catalog.money import format_money, format_rate
from billing.models import EffectivePlan
from billing.presentation.banner import Action, Banner, Reader
from quotas.engine import clock
from quotas.models import Kind
from quotas.reading import usage
from quotas.reading.cards import NEAR, day
from quotas.reading.usage import UsageReading

_WEEK = timedelta(days=7)


def of(effective: EffectivePlan, reader: Reader) -> Banner | None:
    """Only for meters that were refused, or will be: nothing is said where nothing is enforced."""
    readings = [
        reading
        for reading in usage.glance(effective.organization)
        if reading.is_enforced and not reading.refusal and reading.limit
    ]
    for state in (_full, _approaching, _over):
        for reading in readings:
            found = state(reading, effective, reader)
            if found is not None:
                return found
    return None


def _full(reading: UsageReading, effective: EffectivePlan, reader: Reader) -> Banner | None:
    if not reading.is_full:
        return None
    values = _values(reading)
    if reading.is_capped:
        title = _("%(meter)s: the cap for extra usage is reached") % values
    else:
        title = _("%(meter)s: the limit of %(limit)s is reached") % values
        if reading.kind == Kind.LEVEL:
            title = _("%(meter)s is full") % values
    sentences = [str(reading.meter.at_limit) if reading.hard else _("It stops for everyone.")]
    if reading.kind == Kind.LEVEL and reading.overage:
        extra = {"amount": format_amount(reading.overage, reading.meter)}
        sentences.append(_("Free %(amount)s, or get more.") % extra)
    if reading.resets_at is not None:
        sentences.append(_("It starts again on %(day)s.") % {"day": day(reading.resets_at)})
    return _banner(effective, reader, title, sentences, level="bad")


def _approaching(reading: UsageReading, effective: EffectivePlan, reader: Reader) -> Banner | None:
    percent = reading.percent or 0
    if not reading.hard or percent < NEAR:
        return None
    title = _("%(meter)s: %(percent)s%% is used") % (_values(reading) | {"percent": percent})
    sentences = [_pace(reading, effective), str(reading.meter.at_limit)]
    return _banner(effective, reader, title, sentences, level="warn")


def _pace(reading: UsageReading, effective: EffectivePlan) -> str:
    if reading.kind != Kind.LEVEL or reading.limit is None:
        return ""
    at = clock.now()
    gained = usage.gains(effective.organization, [reading.key], since=at - _WEEK)
    ahead = usage.level_ahead(reading, gained.get(reading.key, 0), at, until=at)
    if ahead.reached_at is None:
        return ""
    when = {"day": day(ahead.reached_at)}
    return _("At this week's pace, the limit is reached around %(day)s.") % when


def _over(reading: UsageReading, effective: EffectivePlan, reader: Reader) -> Banner | None:
    if not reading.is_over or reading.kind != Kind.FLOW:
        return None
    price = usage.prices(effective).get(reading.key)
    title = _("%(meter)s: you are past the included %(limit)s") % _values(reading)
    sentences = [_("It keeps working.")]
    if price is not None and reader.can_pay:
        units = usage.billed_so_far(effective.organization, reading)
        extra = usage.extra_of(price, units)
        sentences.append(
            _("Extra usage costs %(rate)s per %(units)s. So far %(cost)s.")
            % {
                "rate": format_rate(extra.rate, extra.currency),
                "units": format_count(extra.per),
                "cost": format_money(extra.so_far, extra.currency),
            }
        )
        if extra.cap is not None:
            cap = {"cap": format_money(extra.cap, extra.currency)}
            sentences.append(_("It is capped at %(cap)s.") % cap)
    return _banner(effective, reader, title, sentences, level="")


def _banner(
    effective: EffectivePlan, reader: Reader, title: str, sentences: list[str], *, level: str
) -> Banner:
    slug = {"slug": effective.organization.slug}
    actions = [Action(label=_("See usage"), url=reverse("quotas:usage", kwargs=slug))]
    if reader.can_pay and level:
        plans = reverse("billing:settings", kwargs=slug) + "#plans"
        actions.append(Action(label=_("Get more"), url=plans, primary=True))
    elif level:
        sentences = [*sentences, _("Ask an owner of the organization for more.")]
    return Banner(
        title=title,
        text=" ".join(sentence for sentence in sentences if sentence),
        level=level,
        icon=level or "info",
        actions=tuple(actions),
    )


def _values(reading: UsageReading) -> dict[str, object]:
    limit = format_amount(reading.limit, reading.meter)
    return {"meter": str(reading.meter.name), "limit": limit}
