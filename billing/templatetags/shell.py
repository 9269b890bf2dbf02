"""The settings navigation: one place that says which page needs which capability."""

from dataclasses import dataclass

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

register = template.Library()

# View name, label, and the capabilities of which any one opens the page.
_PAGES: tuple[tuple[str, Promise, frozenset[str]], ...] = (
    ("orgs:general", _("General"), frozenset({"organization.view"})),
    ("orgs:members", _("Members"), frozenset({"members.view"})),
    ("billing:settings", _("Billing"), frozenset({"billing.view"})),
    ("billing:pricing", _("Pricing"), frozenset({"billing.view"})),
    ("quotas:usage", _("Usage"), frozenset({"usage.view", "usage.view_own"})),
    ("orgs:api-keys", _("API keys"), frozenset({"api_keys.manage"})),
    ("orgs:audit", _("Audit log"), frozenset({"audit.view"})),
    ("orgs:data", _("Data"), frozenset({"organization.export"})),
)


@dataclass(frozen=True, kw_only=True)
class Link:
    url: str
    label: Promise
    current: bool


@register.simple_tag(takes_context=True)
def settings_links(context: template.Context) -> list[Link]:
    """What this person may open of the current organization; pages not built yet are left out."""
    slug = context["organization"].slug
    held = context["capabilities"]
    pages = [
        (url, label)
        for view, label, capabilities in _PAGES
        if not capabilities.isdisjoint(held) and (url := _url(view, slug)) is not None
    ]
    path = context["request"].path
    here = max((url for url, _label in pages if path.startswith(url)), key=len, default=None)
    return [Link(url=url, label=label, current=url == here) for url, label in pages]


def _url(view: str, slug: str) -> str | None:
    try:
        return reverse(view, kwargs={"slug": slug})
    except NoReverseMatch:
        return None
