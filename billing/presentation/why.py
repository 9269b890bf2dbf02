"""A verdict's trace in words: what was looked at, what came of it, and which source won."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing import catalog
from billing.catalog import features
from billing.models import Access, EffectivePlan, EffectivePlanChange, Source
from billing.presentation.formats import moment

Verdict = EffectivePlan | EffectivePlanChange

_NOUNS: Mapping[str, str | Promise] = {
    "stripe": gettext_lazy("Stripe subscription"),
    "dunning": gettext_lazy("Open invoice"),
    "dispute": gettext_lazy("Dispute"),
    "licence": gettext_lazy("Licence"),
    **{str(source): source.label for source in Source if source != Source.STRIPE},
}
# Outcomes that need no figures. A word that is missing here is shown as it is.
_WORDS: Mapping[str, str | Promise] = {
    "not_started": gettext_lazy("It has not begun yet."),
    "ended": gettext_lazy("It has ended."),
    "unknown_plan": gettext_lazy("It names a plan that is not on sale, so it gives nothing."),
    "unknown_source": gettext_lazy("Its kind is not known, so it gives nothing."),
    "unknown_price": gettext_lazy("Its price belongs to no plan, so it gives nothing."),
    "other_mode": gettext_lazy("It belongs to the other mode of Stripe, so it gives nothing."),
    "customer_deleted": gettext_lazy("The customer was deleted at Stripe."),
    "first_payment_open": gettext_lazy("Its first payment is still under way."),
    "cancelled": gettext_lazy("It was cancelled and is over."),
    "refunded": gettext_lazy("The payment of its period was returned."),
    "closed_because_it_has_billed": gettext_lazy("Beta is over: this installation has billed."),
    "closed_because_a_licence_is_needed": gettext_lazy("Beta is off: a licence is needed."),
    "missing": gettext_lazy("There is none, so nothing rises above the default plan."),
    "invalid": gettext_lazy("It cannot be believed, so it gives nothing."),
    "other_instance": gettext_lazy("It belongs to another installation."),
    "other_catalog": gettext_lazy("It is for another product."),
    "expired": gettext_lazy("It has ended."),
    "clock_rolled_back": gettext_lazy("The clock was turned back, so it gives nothing."),
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """`subject` names the row that was looked at; `wins` marks the source that decided."""

    what: str
    subject: str
    sentence: str
    wins: bool = False


def headline(verdict: Verdict) -> str:
    """Pro (Stripe subscription)."""
    source = Source(verdict.source).label
    return _("%(plan)s (%(source)s)") % {"plan": verdict.plan.name, "source": source}


def until(verdict: Verdict) -> str:
    """Instants are written in the active time zone."""
    if verdict.valid_until is None:
        return _("It holds until something changes.")
    return _("It holds until %(moment)s, unless something changes before.") % {
        "moment": moment(verdict.valid_until)
    }


def lines(verdict: Verdict) -> list[Line]:
    """In the order in which they were looked at; the summary of the winner is the headline."""
    found = []
    decider = _decider(verdict)
    for place, step in enumerate(verdict.trace):
        kind, _colon, subject = str(step["subject"]).partition(":")
        if kind != "winner":
            found.append(
                Line(
                    what=str(_NOUNS.get(kind, kind)),
                    subject=subject,
                    sentence=_sentence(kind, step["outcome"], step.get("detail") or {}),
                    wins=place == decider,
                )
            )
    return found


def feature_lines(verdict: Verdict) -> dict[str, str]:
    """Of every feature of the catalogue: on, planned, or which plan has it."""
    return {key: _feature(verdict, key) for key in catalog.current().features}


def body(verdict: Verdict) -> dict[str, Any]:
    """For the API."""
    return {
        "plan": headline(verdict),
        "until": until(verdict),
        "sources": [
            {"what": line.what, "subject": line.subject, "sentence": line.sentence}
            | ({"wins": True} if line.wins else {})
            for line in lines(verdict)
        ],
        "features": feature_lines(verdict),
    }


def _decider(verdict: Verdict) -> int | None:
    """The place of the step that settled the plan: a source, a debt, a dispute, the licence."""
    decides: int | None = None
    for place, step in enumerate(verdict.trace):
        subject, outcome = step["subject"], step["outcome"]
        if subject == "winner":
            decides = _winner(verdict, outcome, (step.get("detail") or {}).get("subject"))
        elif (subject, outcome) == ("licence", "capped") or (
            outcome == "downgrade" and verdict.reason.endswith("_downgrade")
        ):
            decides = place
    return decides


def _winner(verdict: Verdict, source: str, subject: object) -> int | None:
    """Traces that are older than the winner's name in them tell only its source."""
    found = (
        place
        for place, step in enumerate(verdict.trace)
        if step["outcome"] == "applies" or str(step["outcome"]).startswith("grants_")
        if step["subject"] == subject
        or (subject is None and str(step["subject"]).partition(":")[0] == source)
    )
    return next(found, None)


def _sentence(kind: str, outcome: str, detail: Mapping[str, Any]) -> str:
    if kind == "dunning":
        return _dunning(outcome, detail)
    if kind == "dispute":
        return _dispute(outcome)
    if outcome in {"applies", "caps", "capped"} or outcome.startswith("grants_"):
        return _gives(outcome, detail)
    if outcome.startswith("status_"):
        return _("Its status is %(status)s, which gives nothing.") % {
            "status": outcome.removeprefix("status_").replace("_", " ")
        }
    return str(_WORDS.get(outcome, outcome.replace("_", " ")))


def _gives(outcome: str, detail: Mapping[str, Any]) -> str:
    plan = {"plan": plan_name(detail.get("plan"))}
    if outcome == "applies":
        return _("It gives %(plan)s.") % plan
    if outcome == "caps":
        return _("Nothing rises above %(plan)s.") % plan
    if outcome == "capped":
        most = {"most": plan_name(detail.get("most"))}
        return _("It brings %(plan)s down to %(most)s.") % (plan | most)
    access = Access(outcome.removeprefix("grants_")).label
    return _("It gives %(plan)s. Access: %(access)s. Status: %(status)s.") % (
        plan | {"access": access, "status": str(detail.get("status")).replace("_", " ")}
    )


def _dunning(outcome: str, detail: Mapping[str, Any]) -> str:
    said = _("It is unpaid since %(since)s.") % {"since": _moment(detail.get("since"))}
    ends = {"ends": _moment(detail.get("ends"))}
    what = {
        "grace": _("The grace lasts until %(ends)s."),
        "lock": _("The grace ended on %(ends)s, so it is read-only until it is paid."),
        "downgrade": _("The grace ended on %(ends)s, so the default plan applies."),
        "overridden": _("It changes nothing: the plan was given by hand."),
    }
    return f"{said} {what.get(outcome, outcome) % ends}"


def _dispute(outcome: str) -> str:
    said = {
        "flag": _("A payment was taken back by the bank; it is only marked."),
        "lock": _("A payment was taken back by the bank, so it is read-only."),
        "downgrade": _("A payment was taken back by the bank, so the default plan applies."),
        "overridden": _("It changes nothing: the plan was given by hand."),
    }
    return said.get(outcome, outcome)


def _moment(text: object) -> str:
    return moment(datetime.fromisoformat(str(text))) if text else ""


def plan_name(key: object) -> str:
    entry = catalog.current().plans.get(str(key))
    return str(entry.name) if entry else str(key or "-")


def _feature(verdict: Verdict, key: str) -> str:
    sold = catalog.current()
    entry = sold.features[key]
    name = {"feature": entry.name, "plan": verdict.plan.name}
    if entry.state == "planned":
        return _("%(feature)s: planned, and not there yet on any plan.") % name
    if verdict.is_beta:
        return _("%(feature)s: on, as everything is during the beta.") % name
    if verdict.plan.features.get(key) == "available":
        return _("%(feature)s: on, because %(plan)s has it.") % name
    first = next(iter(features.plans_with(sold, key)), None)
    if first is None:
        return _("%(feature)s: off, because no plan has it.") % name
    return _("%(feature)s: off. %(plan)s does not have it, %(first)s does.") % (
        name | {"first": plan_name(first)}
    )
