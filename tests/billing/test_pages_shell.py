"""What every page has in common: strict headers, no inline code, escaped names, preferences."""

import json
import re
from html import unescape
from html.parser import HTMLParser

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from billing.entitlement import store
from billing.models import SubscriptionPlan
from orgs import deletions
from orgs.models import Organization, Role
from tests.billing import selling
from tests.factories.orgs import (
    OrganizationFactory,
    UserFactory,
    api_token_for,
    member_of,
    owner_of,
)

pytestmark = pytest.mark.django_db

HOSTILE = """<img src=x onerror=alert(1)>"' hx-get=/evil {{7*7}}"""
HTMX = {"HX-Request": "true"}
SIGNED_IN = [
    "billing:settings",
    "billing:plans",
    "orgs:general",
    "orgs:members",
    "orgs:api-keys",
    "orgs:audit",
    "quotas:usage",
    "quotas:usage-meters",
]
SIGNED_OUT = ["account_login", "account_signup", "account_reset_password"]
PERSONAL = [
    "account_email",
    "account_change_password",
    "account_logout",
    "mfa_index",
    "orgs:profile",
    "orgs:new",
]


class InlineCode(HTMLParser):
    """Collects what a strict content security policy forbids."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        self.found += [name for name in names if name.startswith("on") or name == "style"]
        self.found += [name for name in names if name.startswith("hx-on")]
        self.found += [name for name, value in attrs if name == "hx-get" and "evil" in value]
        if tag == "style" or (tag == "script" and "src" not in names):
            kind = names.get("type")
            self.found += [] if kind == "application/json" else [tag]
        self.found += [v for v in names.values() if v and v.strip().startswith("javascript:")]


def inline_code_of(response):
    parser = InlineCode()
    parser.feed(response.content.decode())
    return parser.found


@pytest.fixture
def hostile_owner(client):
    selling.put_on_sale()
    person = UserFactory.create(name=HOSTILE)
    team = OrganizationFactory.create(name=HOSTILE, slug="hostile", owner=person)
    selling.pays(team)
    selling.invoice(team, number=HOSTILE, lines=[{"description": HOSTILE}])
    client.force_login(person)
    return client


@pytest.mark.parametrize("name", SIGNED_IN)
def test_a_hostile_name_stays_text_on_every_page_of_an_organization(hostile_owner, name):
    for headers in ({}, HTMX):
        response = hostile_owner.get(reverse(name, kwargs={"slug": "hostile"}), headers=headers)

        html = response.content.decode()
        assert response.status_code == 200
        assert "<img src=x" not in html
        assert inline_code_of(response) == []


@pytest.mark.parametrize(
    ("name", "heading"),
    [("billing:plans", "Billing"), ("quotas:usage-meters", "Usage"), ("orgs:export-state", "Data")],
)
def test_a_fragment_that_is_opened_by_hand_is_its_whole_page(hostile_owner, name, heading):
    address = reverse(name, kwargs={"slug": "hostile"})

    opened = hostile_owner.get(address).content.decode()
    asked_for = hostile_owner.get(address, headers=HTMX).content.decode()

    assert f"<h1>{heading}</h1>" in opened
    assert "css/app.css" in opened
    assert "<html" not in asked_for


def test_every_page_says_that_the_organization_is_going_to_be_deleted(hostile_owner):
    team = Organization.objects.get(slug="hostile")
    deletions.ask(team, actor=owner_of(team))
    guest = Client()
    guest.force_login(member_of(team, Role.MEMBER))
    pages = [name for name in SIGNED_IN if name not in {"billing:plans", "quotas:usage-meters"}]

    seen = [hostile_owner.get(reverse(name, kwargs={"slug": "hostile"})) for name in pages]
    guests = guest.get(reverse("orgs:general", kwargs={"slug": "hostile"})).content.decode()
    hostile_owner.post(reverse("orgs:undo-deletion", kwargs={"slug": "hostile"}))
    after = hostile_owner.get(reverse("orgs:general", kwargs={"slug": "hostile"})).content.decode()

    for page in (*(response.content.decode() for response in seen), guests):
        assert "This organization is going to be deleted" in page
    assert all("Keep the organization" in response.content.decode() for response in seen)
    assert "Keep the organization" not in guests
    assert "This organization is going to be deleted" not in after


def test_a_hostile_name_is_shown_as_it_was_written(hostile_owner):
    html = hostile_owner.get("/o/hostile/settings/billing/").content.decode()

    assert HOSTILE in unescape(html)


@pytest.mark.parametrize("name", SIGNED_OUT)
def test_pages_before_sign_in_carry_no_inline_code(client, name):
    response = client.get(reverse(name))

    assert response.status_code == 200
    assert inline_code_of(response) == []


@pytest.mark.parametrize("name", PERSONAL)
def test_pages_of_the_person_use_our_shell_and_no_inline_code(hostile_owner, name):
    response = hostile_owner.get(reverse(name))

    assert response.status_code == 200
    assert "css/app.css" in response.content.decode()
    assert inline_code_of(response) == []


@pytest.mark.parametrize(
    "path",
    ["/accounts/login/", "/o/nobody/settings/billing/", "/no/such/page", "/preferences/theme/"],
)
def test_every_answer_errors_included_forbids_framing_and_foreign_code(client, path):
    response = client.get(path)

    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response["X-Frame-Options"] == "DENY"


def test_htmx_may_not_evaluate_reach_other_hosts_or_keep_pages(client):
    html = client.get("/accounts/login/").content.decode()

    [content] = re.findall(r"name=\"htmx-config\" content='([^']*)'", html)
    config = json.loads(content)
    assert config["allowEval"] is False
    assert config["selfRequestsOnly"] is True
    assert config["includeIndicatorStyles"] is False
    assert config["historyCacheSize"] == 0


def test_a_page_that_breaks_tells_nothing_of_its_insides(client):
    team = OrganizationFactory.create(slug="broken")
    SubscriptionPlan.objects.all().delete()
    client.force_login(owner_of(team))
    client.raise_request_exception = False

    response = client.get("/o/broken/settings/billing/")

    html = response.content.decode()
    assert response.status_code == 500
    assert "Something went wrong on our side." in html
    assert "Traceback" not in html
    assert "SubscriptionPlan" not in html
    assert inline_code_of(response) == []


def test_while_the_database_is_away_people_and_scripts_are_asked_to_come_again(client, monkeypatch):
    team = OrganizationFactory.create(slug="away")
    token = api_token_for(owner_of(team))
    client.force_login(owner_of(team))
    client.raise_request_exception = False

    def unreachable(*args, **kwargs):
        raise OperationalError("connection refused")

    monkeypatch.setattr(store, "current", unreachable)

    page = client.get("/o/away/settings/billing/")
    call = client.get("/api/v1/billing/status", headers={"authorization": f"Bearer {token}"})

    assert (page.status_code, page["Retry-After"]) == (503, "10")
    assert "Something went wrong on our side." in page.content.decode()
    assert (call.status_code, call["Retry-After"]) == (503, "10")
    assert call.json()["code"] == "unavailable"


def test_the_switcher_leads_to_every_organization_of_the_person(hostile_owner):
    html = hostile_owner.get("/o/hostile/settings/billing/").content.decode()

    switcher = html.partition('class="menu switcher"')[2].partition("</details>")[0]
    assert switcher.count('method="post"') == 2
    assert 'action="/o/hostile/switch/"' in switcher
    assert switcher.count('aria-current="true"') == 1


def test_the_navigation_shows_what_the_role_may_open(client):
    selling.put_on_sale()
    team = OrganizationFactory.create(slug="team")
    member = team.memberships.create(user=UserFactory.create(), role="member").user
    client.force_login(member)

    html = client.get("/o/team/settings/members/").content.decode()

    nav = html.partition('class="nav"')[2].partition("</nav>")[0]
    assert "/o/team/settings/members/" in nav
    assert "/o/team/settings/billing/" not in nav
    assert "/o/team/settings/audit/" not in nav
    assert nav.count('aria-current="page"') == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_chosen_theme_is_kept_in_a_cookie_and_drawn_by_the_server(client, theme):
    response = client.post("/preferences/theme/", {"theme": theme, "next": "/accounts/login/"})

    assert response["Location"] == "/accounts/login/"
    assert f'data-theme="{theme}"' in client.get("/accounts/login/").content.decode()


def test_system_and_nonsense_forget_the_chosen_theme(client):
    client.post("/preferences/theme/", {"theme": "dark"})

    client.post("/preferences/theme/", {"theme": '"><script>'})

    assert "data-theme" not in client.get("/accounts/login/").content.decode()


@pytest.mark.parametrize(
    "hostile",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "http:evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "\x00//evil.example",
        " https://evil.example",
    ],
)
@pytest.mark.parametrize("path", ["/preferences/theme/", "/preferences/language/"])
def test_preferences_lead_back_to_our_own_pages_only(client, path, hostile):
    response = client.post(path, {"theme": "dark", "language": "vi", "next": hostile})

    assert response["Location"] == "/"


def test_a_chosen_language_holds_on_the_next_page(client):
    client.post("/preferences/language/", {"language": "vi", "next": "/accounts/login/"})

    assert '<html lang="vi"' in client.get("/accounts/login/").content.decode()


@pytest.mark.parametrize("path", ["/preferences/theme/", "/preferences/language/"])
def test_preferences_need_the_token_of_our_own_form(path):
    response = Client(enforce_csrf_checks=True).post(path, {"theme": "dark", "language": "vi"})

    assert response.status_code == 403
