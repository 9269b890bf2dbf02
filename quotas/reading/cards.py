"""One card per meter, in words: how much, of what, where it is going, what happens at the limit."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from babel.dates import format_skeleton
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from billing.catalog.amounts import format_amount, format_count
from billing.catalog.money import babel_locale, format_money, format_rate
from billing.presentation import over_limit
from billing.presentation.pills import Pill
from quotas.models import Kind, Overage, Refusal
from quotas.reading.history import PastReading
from quotas.reading.usage import FULL, Usage, UsageReading

NEAR = 90  # percent of a hard limit from which a card warns


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Widths in percent, as SVG reads them. `now`, `most` and `text` are for those who listen."""

    used: str
    projected: str
    mark: str
    now: int
    most: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    key: str
    name: str
    tone: str  # warn, bad or empty
    pill: Pill | None
    amount: str
    of: str
    bar: Bar | None
    sentences: tuple[str, ...]
    own: str = ""  # what the reader used of it
    link: str = ""
    link_text: str = ""


def of(usage: Usage, own: dict[str, int] | None = None) -> list[Card]:
    """`own` are the reader's amounts by meter, for those who see no one else's."""
    return [_card(usage, reading, own) for reading in usage.readings]


def of_past(reading: PastReading) -> Card:
    sentences = []
    if reading.overage:
        sentences.append(
            _("%(extra)s beyond the included amount, %(cost)s.")
            % {
                "extra": format_amount(reading.overage, reading.meter),
                "cost": format_money(reading.cost, reading.currency),
            }
            if reading.currency
            else _("%(extra)s beyond the included amount.")
            % {"extra": format_amount(reading.overage, reading.meter)}
        )
    return Card(
        key=reading.key,
        name=str(reading.meter.name),
        tone="",
        pill=None,
        amount=format_amount(reading.used, reading.meter),
        of="",
        bar=None,
        sentences=tuple(sentences),
    )


def day(at: datetime) -> str:
    """Dec 3; the year is that of the page."""
    return str(format_skeleton("MMMd", timezone.localtime(at), locale=babel_locale()))


def last_day(end: datetime) -> str:
    return day(end - timedelta(microseconds=1))


def _card(usage: Usage, reading: UsageReading, own: dict[str, int] | None) -> Card:
    pill = _pill(reading)
    manages = reading.kind == Kind.ROWS
    slug = usage.organization.slug
    return Card(
        key=reading.key,
        name=str(reading.meter.name),
        tone=pill.tone if pill is not None and pill.tone in {"warn", "bad"} else "",
        pill=pill,
        amount=_amount(reading),
        of=_of(reading),
        bar=_bar(reading),
        sentences=tuple(_sentences(usage, reading)),
        own=_own(reading, own),
        link=reverse("orgs:members", kwargs={"slug": slug}) if manages else "",
        link_text=_("Manage") if manages else "",
    )


def _amount(reading: UsageReading) -> str:
    if reading.kind == Kind.CEILING:
        return format_amount(reading.limit, reading.meter)
    return format_amount(reading.used, reading.meter)


def _of(reading: UsageReading) -> str:
    if reading.kind == Kind.CEILING:
        return "" if reading.limit is None else _("at most, each")
    if reading.limit is None:
        return _("without a limit")
    limit = format_amount(reading.limit, reading.meter)
    if reading.per_member and not reading.member:
        return _("in all, %(limit)s for each member") % {"limit": limit}
    if not reading.hard:
        return _("of %(limit)s included") % {"limit": limit}
    return _("of %(limit)s") % {"limit": limit}


def _own(reading: UsageReading, own: dict[str, int] | None) -> str:
    if own is None or reading.kind not in {Kind.LEVEL, Kind.FLOW} or reading.member:
        return ""
    return _("Of it yours: %(amount)s") % {
        "amount": format_amount(max(own.get(reading.key, 0), 0), reading.meter)
    }


_NOT_INCLUDED = Pill(gettext_lazy("Not in your plan"))
_UNPAID = Pill(gettext_lazy("Waits for payment"), "bad")
_CAPPED = Pill(gettext_lazy("Stopped at the cap"), "bad")
_FULL = Pill(gettext_lazy("Full"), "bad")
_BEYOND = Pill(gettext_lazy("Over the limit"), "bad")
_TAKEN = Pill(gettext_lazy("All taken"), "warn")
_PAST = Pill(gettext_lazy("Past the included amount"), "warn")
_NEARLY = Pill(gettext_lazy("Near limit"), "warn")
_LOOSE = Pill(gettext_lazy("Not enforced"))
_EXTRA = Pill(gettext_lazy("Extra usage allowed"))


def _pill(reading: UsageReading) -> Pill | None:
    """The state that matters most."""
    states = (
        (bool(reading.surplus), _BEYOND),
        (reading.refusal == Refusal.FEATURE_UNAVAILABLE, _NOT_INCLUDED),
        (reading.refusal == Refusal.PAYMENT_REQUIRED, _UNPAID),
        (reading.is_full and reading.kind == Kind.ROWS, _TAKEN),
        (reading.is_full, _CAPPED if reading.is_capped else _FULL),
        (reading.is_over, _PAST),
        (reading.hard and reading.is_enforced and (reading.percent or 0) >= NEAR, _NEARLY),
        (reading.limit is not None and not reading.is_enforced, _LOOSE),
        (reading.limit is not None and not reading.hard, _EXTRA),
    )
    return next((pill for holds, pill in states if holds), None)


def _bar(reading: UsageReading) -> Bar | None:
    limit = reading.limit
    if limit is None or reading.kind == Kind.CEILING or (reading.per_member and not reading.member):
        return None
    projected = reading.projection.amount if reading.projection else reading.used
    taken = reading.used + reading.held
    most = max(limit, 1) if reading.hard else max(limit, projected, taken, 1)
    return Bar(
        used=_percent(taken, most),
        projected=_percent(projected, most) if projected > taken else "",
        mark=_percent(limit, most) if not reading.hard and limit < most else "",
        now=min(taken, most),
        most=most,
        text=f"{_amount(reading)} {_of(reading)}",
    )


def _percent(part: int, whole: int) -> str:
    """A tenth of a percent is finer than a pixel; always with a point, as SVG wants it."""
    return f"{min(part * FULL * 10 // whole, FULL * 10) / 10:g}%"


def _sentences(usage: Usage, reading: UsageReading) -> list[str]:
    if reading.refusal == Refusal.FEATURE_UNAVAILABLE:
        return [_surplus(reading)] if reading.surplus else []
    found = [
        _surplus(reading),
        _held(reading),
        _credits(reading),
        _pace(usage, reading),
        _free_rows(reading),
        _at_limit(reading),
    ]
    return [sentence for sentence in found if sentence]


def _surplus(reading: UsageReading) -> str:
    if not reading.surplus:
        return ""
    beyond = _("%(surplus)s more than the limit of %(limit)s.") % {
        "surplus": format_amount(reading.surplus, reading.meter),
        "limit": format_amount(reading.limit, reading.meter),
    }
    return f"{beyond} {over_limit.sentence(reading.meter.over_limit)}"


def _held(reading: UsageReading) -> str:
    if not reading.held:
        return ""
    return _("%(amount)s of it is reserved.") % {
        "amount": format_amount(reading.held, reading.meter)
    }


def _credits(reading: UsageReading) -> str:
    if not reading.credits:
        return ""
    return _("%(amount)s prepaid are left and used next.") % {
        "amount": format_amount(reading.credits, reading.meter)
    }


def _pace(usage: Usage, reading: UsageReading) -> str:
    ahead = reading.projection
    if ahead is None or ahead.amount == reading.used or reading.is_full:
        return ""
    end = reading.resets_at or usage.period.end
    sentence = _("On pace for %(amount)s by %(day)s.") % {
        "amount": format_amount(ahead.amount, reading.meter),
        "day": last_day(end),
    }
    if ahead.reached_at is None or not reading.hard or ahead.reached_at >= end:
        return sentence
    return f"{sentence} " + _("The limit is reached around %(day)s.") % {
        "day": day(ahead.reached_at)
    }


def _free_rows(reading: UsageReading) -> str:
    if reading.kind != Kind.ROWS or reading.remaining is None:
        return ""
    left = reading.remaining
    return ngettext("%(n)s is free.", "%(n)s are free.", left) % {"n": format_count(left)}


def _at_limit(reading: UsageReading) -> str:
    if reading.limit is None:
        return ""
    if reading.extra is not None and reading.overage_policy == Overage.BILL:
        return _billed(reading)
    if not reading.hard and reading.kind != Kind.ROWS:
        return _("It keeps working past the included amount.")
    said = str(reading.meter.at_limit)
    if reading.kind == Kind.CEILING:
        return said
    return _("At %(limit)s: %(consequence)s") % {
        "limit": format_amount(reading.limit, reading.meter),
        "consequence": said,
    }


def _billed(reading: UsageReading) -> str:
    extra = reading.extra
    if extra is None:
        return ""
    said = _("After %(limit)s, %(rate)s per %(units)s") % {
        "limit": format_amount(reading.limit, reading.meter),
        "rate": format_rate(extra.rate, extra.currency),
        "units": format_count(extra.per),
    }
    if extra.projected:
        about = {"cost": format_money(extra.projected, extra.currency)}
        said = f"{said}, " + _("so about %(cost)s") % about
    return f"{said}."
