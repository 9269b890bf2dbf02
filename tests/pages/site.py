"""Every page that somebody can look at: its address, its reader, and what it loads."""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from django.contrib.staticfiles import finders
from django.http import HttpResponse
from django.test import Client

from tests.architecture.url_rules import RULES, Rule, Who
from tests.architecture.urlconf import Route, routes
from tests.pages.crowd import Crowd

# Answers that are no pages, the pages' own fragments, and a reference that is Swagger's own work.
_NO_PAGES = re.compile(
    r"^api/|healthz|readyz|metrics|\.csv$|\.json$|\.zip$|/plans/$|/meters/$|/state/$"
)
_ADMIN = re.compile(r"^admin/(?:[\w-]+/)*$")
_NO_ADMIN_PAGES = re.compile(
    r"/add/$|undo|examine|login|logout|autocomplete|jsi18n|\.csv|password_change"
)
_READ = {"aria-label", "placeholder", "title", "alt", "data-fallback", "data-offline", "data-slow"}
_LOADED = re.compile(r'<(?:link[^>]*?href|script[^>]*?src)="/static/([^"]+\.(?:css|js))"')


@dataclass(frozen=True)
class Page:
    """`who` is anonymous, the owner of the team, or staff; `is_list` is Django's own of a model."""

    pattern: str
    path: str
    who: str
    is_list: bool = False

    @property
    def asks_stripe(self) -> bool:
        """Publishing compares with Stripe, which nobody answers for here."""
        return self.pattern == "admin/catalogue/publish/"


@dataclass(frozen=True)
class Weight:
    """Bytes as they travel, gzipped; `fonts` and pictures are counted by nobody here."""

    html: int
    css: int
    js: int

    @property
    def total(self) -> int:
        return self.html + self.css + self.js


def pages(crowd: Crowd) -> list[Page]:
    """Our own first, then the admin's, each in the order of the URLs."""
    return [*_own(crowd), *_staff(crowd)]


def _own(crowd: Crowd) -> Iterator[Page]:
    for route in routes():
        rule = RULES.get(route.pattern)
        if rule is None or not _is_page(route, rule):
            continue
        who = "anonymous" if rule.who in {Who.ANYONE, Who.LINK} else "owner"
        yield Page(route.pattern, _path(route, rule, crowd), who)


def _is_page(route: Route, rule: Rule) -> bool:
    return rule.answers.get("GET") == 200 and not _NO_PAGES.search(route.pattern)


def _path(route: Route, rule: Rule, crowd: Crowd) -> str:
    path = route.url(crowd.samples)
    return f"{path}?{rule.query.format(**crowd.samples)}" if rule.query else path


def _staff(crowd: Crowd) -> Iterator[Page]:
    for route in routes():
        listed = _ADMIN.search(route.pattern) and not _NO_ADMIN_PAGES.search(route.pattern)
        if listed and "djstripe" not in route.pattern:
            is_list = route.name.endswith("_changelist")
            yield Page(route.pattern, f"/{route.pattern}", "staff", is_list)
    yield Page("admin/why/<uuid:organization>/", f"/admin/why/{crowd.team.pk}/", "staff")


def clients(crowd: Crowd) -> dict[str, Client]:
    owner, staff = Client(), Client()
    owner.force_login(crowd.owner)
    staff.force_login(crowd.staff)
    return {"anonymous": Client(), "owner": owner, "staff": staff}


class _Texts(HTMLParser):
    """What people read or hear: text between tags, labels, placeholders, titles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_data(self, data: str) -> None:
        self.found.add(" ".join(data.split()))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {value or "" for name, value in attrs if name in _READ}


def texts_of(html: str) -> set[str]:
    parser = _Texts()
    parser.feed(html)
    return parser.found


def weight_of(response: HttpResponse) -> Weight:
    """What a first visit transfers: the page, and the styles and scripts that it names."""
    html = response.content.decode()
    names = sorted(set(_LOADED.findall(html)))
    css = sum(_packed(name) for name in names if name.endswith(".css"))
    js = sum(_packed(name) for name in names if name.endswith(".js"))
    return Weight(len(gzip.compress(response.content)), css, js)


def _packed(name: str) -> int:
    found = finders.find(name)
    assert found, f"a page loads {name}, which does not exist"
    return len(gzip.compress(Path(str(found)).read_bytes()))
