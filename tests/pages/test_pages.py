"""Every page costs the same queries however much there is, and little to transfer."""

import gzip
import os
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from django.utils.translation import gettext

from orgs.models import User
from tests.billing.selling import put_on_sale
from tests.factories.orgs import UserFactory
from tests.pages import measuring, site
from tests.pages.crowd import Crowd

pytestmark = pytest.mark.django_db

VIETNAMESE = Path(__file__).resolve().parents[2] / "locale" / "vi" / "LC_MESSAGES" / "django.po"
MANY = 200
VERY_MANY = 10_000
SLOWEST = 3  # times an empty page of the same frame
HEAVIEST = 60_000  # bytes, gzipped, without fonts and pictures


def look(browser, page):
    with CaptureQueriesContext(connection) as captured:
        response = browser.get(page.path)
    assert response.status_code == 200, page.pattern
    return response, len(captured)


def count_and_weigh(size, chosen):
    """Per page: queries for one row, queries for many, and the weight with many."""
    crowd = Crowd()
    crowd.grow(1)
    browsers = site.clients(crowd)
    found = [page for page in site.pages(crowd) if chosen(page)]
    one = {}
    for page in found:
        look(browsers[page.who], page)  # what is derived or stamped once a day, is
        one[page] = look(browsers[page.who], page)[1]
    crowd.grow(size)
    analyze()
    rows = []
    for page in found:
        look(browsers[page.who], page)
        response, queries = look(browsers[page.who], page)
        rows.append((page, one[page], queries, site.weight_of(response)))
    return rows, browsers


def analyze():
    """What autovacuum does within a minute of so many rows."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def complaints(rows):
    said = []
    for page, one, many, weight in rows:
        if many > one:
            said.append(f"{page.pattern}: {one} queries for one row, {many} for many")
        if weight.total > HEAVIEST:
            said.append(f"{page.pattern}: {weight.total} bytes")
    return said


def test_every_page_of_ours_costs_the_same_for_many_and_weighs_little(redis_server):
    rows, _browsers = count_and_weigh(MANY, lambda page: not page.is_list)

    assert complaints(rows) == []
    assert len(rows) > 30


def test_pages_are_compressed_and_downloads_are_not(client):
    put_on_sale()
    person = UserFactory.create()
    client.force_login(person)
    packed = {"accept-encoding": "gzip"}

    page = client.get("/profile/", headers=packed)
    file = client.get(f"/o/{person.organizations.get().slug}/settings/usage.csv", headers=packed)

    assert page["Content-Encoding"] == "gzip"
    assert b"<html" in gzip.decompress(page.content)
    assert file.status_code == 200
    assert "Content-Encoding" not in file


def test_no_page_in_vietnamese_speaks_english(redis_server):
    """What has a translation is shown in it, and nothing was left without one."""
    crowd = Crowd()
    crowd.grow(1)
    User.objects.update(language="vi")
    browsers = site.clients(crowd)
    with VIETNAMESE.open("rb") as file:
        english = {entry.id for entry in read_po(file) if isinstance(entry.id, str) and entry.id}
    with translation.override("vi"):
        translated = {text for text in english if gettext(text) != text} - {"English"}

    said = []
    for page in site.pages(crowd):
        if page.who != "staff":
            browsers[page.who].cookies["django_language"] = "vi"
            html = browsers[page.who].get(page.path).content.decode()
            assert '<html lang="vi"' in html, page.pattern
            said += [f"{page.pattern}: {text}" for text in site.texts_of(html) & translated]

    assert said == []


@pytest.mark.verify
def test_ten_thousand_rows_of_everything_cost_what_one_does(redis_server, settings, report):
    """With PAGES_TABLE set, the figures become the table of docs/pages.md."""
    settings.ROOT_URLCONF = "tests.pages.urls"
    rows, browsers = count_and_weigh(VERY_MANY, lambda _page: True)

    timed = [row[0] for row in rows if not row[0].asks_stripe]
    found = measuring.ratios(browsers, timed)
    if os.environ.get("PAGES_TABLE"):
        measuring.write(rows, found, VERY_MANY)

    report(f"slowest page: {max(found.values(), default=0):.1f} empty ones")
    assert complaints(rows) == []
    slow = {page.pattern: ratio for page, ratio in found.items() if ratio > SLOWEST}
    assert slow == {}
