"""A contract beside its plan: limits of its own, purchase order, payment terms, papers."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from billing import catalog
from billing.catalog.values import read_amount
from billing.models import Grant, Source
from orgs.exceptions import Unprocessable

_LONGEST = 200


@dataclass(frozen=True, kw_only=True)
class Document:
    title: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Never personal data: the row outlives the people who signed."""

    purchase_order: str = ""
    net_days: int | None = None
    documents: tuple[Document, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Only what was agreed."""
        papers = [{"title": one.title, "url": one.url} for one in self.documents]
        found = {
            "purchase_order": self.purchase_order,
            "net_days": self.net_days,
            "documents": papers,
        }
        return {name: value for name, value in found.items() if value}


def terms_of(grant: Grant) -> Terms:
    papers = grant.terms.get("documents") or []
    return Terms(
        purchase_order=grant.terms.get("purchase_order") or "",
        net_days=grant.terms.get("net_days"),
        documents=tuple(Document(title=one["title"], url=one["url"]) for one in papers),
    )


def limits_from(text: str) -> dict[str, int | None]:
    """One `meter = amount` a line, as the catalogue writes amounts. Raises Unprocessable."""
    found: dict[str, int | None] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        meter, _sign, amount = (part.strip().strip('"') for part in line.partition("="))
        if meter not in catalog.current().meters:
            raise Unprocessable(
                _("There is no meter “%(name)s”.") % {"name": meter}, field="limits"
            )
        try:
            found[meter] = read_amount(amount)
        except ValueError as error:
            raise Unprocessable(str(error), field="limits") from None
    return found


def documents_from(text: str) -> tuple[Document, ...]:
    """One `title https://…` a line. Raises Unprocessable."""
    lines = map(str.split, filter(None, map(str.strip, text.splitlines())))
    return tuple(_document(words) for words in lines)


def check(grant: Grant) -> None:
    """Raises Unprocessable naming the field that the catalogue does not allow."""
    sold = catalog.current()
    plan = sold.plans.get(grant.plan_key)
    if plan is None:
        raise _refused("plan_key", _("There is no such plan."))
    if not grant.reason.strip():
        raise _refused("reason", _("Say why."))
    if plan.kind == "contract" and grant.source == Source.TRIAL:
        raise _refused("source", _("A plan by contract has no trial."))
    _check_limits(grant.limits)
    _check_terms(terms_of(grant))


def _check_limits(limits: Mapping[str, int | None]) -> None:
    for meter in limits:
        if meter not in catalog.current().meters:
            raise _refused("limits", _("There is no meter “%(name)s”.") % {"name": meter})


def _check_terms(terms: Terms) -> None:
    policy = catalog.current().contracts
    if terms.net_days is not None and terms.net_days not in policy.net_days:
        allowed = ", ".join(map(str, policy.net_days))
        raise _refused("net_days", _("Payment terms may be: %(days)s.") % {"days": allowed})
    if terms.purchase_order and not policy.purchase_orders:
        raise _refused("purchase_order", _("Purchase orders are not agreed here."))


def _document(words: list[str]) -> Document:
    url = words[-1]
    if urlsplit(url).scheme != "https":
        raise _refused("documents", _("Each line ends with a link that starts with https://."))
    return Document(title=(" ".join(words[:-1]) or url)[:_LONGEST], url=url)


def _refused(field: str, sentence: str) -> Unprocessable:
    return Unprocessable(sentence, field=field)
