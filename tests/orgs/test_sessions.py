"""Where somebody is signed in: what they see of it, how they end it, and when it ends by itself."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse

from config import settings as production
from orgs import browsers, sessions
from tests.factories.orgs import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db

PAGE = "/accounts/sessions/"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15"
    " (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def clock():
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


def browser_of(person, user_agent=FIREFOX):
    browser = Client(headers={"user-agent": user_agent})
    browser.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
    assert is_in(browser)
    return browser


def is_in(browser):
    return browser.get(reverse("orgs:profile")).status_code == 200


def key_of(browser):
    return sessions.hashed(browser.cookies[django_settings.SESSION_COOKIE_NAME].value)


def test_people_see_where_they_are_signed_in_and_end_one_session_or_all_others():
    ann = UserFactory.create()
    here, phone, third = browser_of(ann), browser_of(ann, SAFARI), browser_of(ann, "<b>x</b>")

    page = here.get(PAGE).content.decode()
    here.post(PAGE, {"session": key_of(phone)})

    assert (page.count("This browser"), page.count('name="session"')) == (1, 2)
    assert "Firefox, Windows" in page
    assert "Safari, iPhone" in page
    assert "Unknown browser" in page
    assert [is_in(each) for each in (here, phone, third)] == [True, False, True]

    here.post(PAGE)

    assert [is_in(each) for each in (here, third)] == [True, False]
    assert "End all others" not in here.get(PAGE).content.decode()


def test_nobody_ends_the_session_of_somebody_else_or_their_own_by_mistake():
    ann, ben = browser_of(UserFactory.create()), browser_of(UserFactory.create())

    for key in (key_of(ben), key_of(ann), "no-such-key"):
        ann.post(PAGE, {"session": key})

    assert is_in(ann)
    assert is_in(ben)


def test_whoever_sits_at_a_forgotten_screen_is_asked_for_the_password_first(clock):
    ann = UserFactory.create()
    forgotten, other = browser_of(ann), browser_of(ann)
    clock.shift(timedelta(minutes=20))

    asked = forgotten.post(PAGE)

    assert asked["Location"] == f"/accounts/reauthenticate/?next={PAGE.replace('/', '%2F')}"
    assert is_in(other)
    forgotten.post("/accounts/reauthenticate/", {"password": PASSWORD})
    forgotten.post(PAGE)
    assert not is_in(other)


def test_a_session_ends_unused_after_days_and_used_after_two_weeks(clock):
    ann = UserFactory.create()
    used, left = browser_of(ann), browser_of(ann)
    idle = django_settings.SESSION_IDLE
    seen = []

    for _ in range(5):
        clock.shift(idle - timedelta(minutes=16))
        seen.append(is_in(used))
        if len(seen) == 1:
            assert is_in(left)

    assert seen == [True, True, True, True, False]
    assert not is_in(left)
    assert sessions.of_person(ann) == []


def test_what_is_done_in_a_session_prolongs_it_beyond_no_end(clock):
    """Whatever is kept in it is stored anew, and Django would count two weeks from then."""
    browser = browser_of(UserFactory.create())
    for _ in range(4):
        clock.shift(timedelta(days=2, hours=23))
        session = browser.session
        session["note"] = "kept"
        session.save()
    assert is_in(browser)

    clock.shift(timedelta(days=2, hours=23))

    assert not is_in(browser)


def test_a_new_password_leaves_its_own_session_alone_in_the_list():
    ann = UserFactory.create()
    here, _there = browser_of(ann), browser_of(ann)
    new = "another long-enough pass phrase"

    change = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    here.post("/accounts/password/change/", change)

    ann.refresh_from_db()
    assert [row.pk for row in sessions.of_person(ann)] == [key_of(here)]


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (FIREFOX, "Firefox, Windows"),
        (SAFARI, "Safari, iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/141.0 Safari/537.36 Edg/141.0", "Edge, Linux"),
        ("curl/8.5.0", ""),
        ("", ""),
    ],
)
def test_a_browser_is_told_by_its_name_and_system(user_agent, words):
    assert browsers.described(user_agent) == words


def test_in_production_cookies_are_for_this_host_alone_and_for_https_alone(settings):
    """What browsers ask of a cookie whose name starts with `__Host-`."""
    for name in ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "SESSION_COOKIE_SECURE"):
        setattr(settings, name, getattr(production, name))
    settings.CSRF_COOKIE_SECURE = production.CSRF_COOKIE_SECURE
    person, browser = UserFactory.create(), Client()

    browser.get("/accounts/login/", secure=True)
    sign_in = {"login": person.email, "password": PASSWORD}
    browser.post("/accounts/login/", sign_in, secure=True)

    for name in ("__Host-sessionid", "__Host-csrftoken"):
        cookie = browser.cookies[name]
        assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")
