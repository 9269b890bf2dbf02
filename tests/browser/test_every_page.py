"""Every page there is, by the same list that says who may open what: widths, looks, keyboard."""

import pytest
from allauth.mfa.models import Authenticator

from tests.factories.orgs import PASSWORD
from tests.pages import site
from tests.pages.crowd import Crowd

WIDTHS = (320, 768, 1120, 1440, 3840)
MAIN = ("billing/", "usage/", "members/", "audit/", "pricing/")
HEIGHT = 900
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def crowd(transactional_db, settings, redis_server):
    settings.ADMIN_REQUIRES_MFA = False
    crowd = Crowd()
    crowd.grow(3)
    for person in (crowd.owner, crowd.staff):
        person.set_password(PASSWORD)
        person.save()
    Authenticator.objects.filter(user=crowd.staff).delete()
    return crowd


def too_wide(visitor, page):
    """The widths at which the window would have to be moved sideways."""
    said = []
    for width in WIDTHS:
        visitor.page.set_viewport_size({"width": width, "height": HEIGHT})
        if visitor.page.evaluate(WIDER) > 0:
            said.append(f"{page.pattern} at {width}")
    return said


def test_no_main_page_is_wider_than_its_window(visitor, crowd):
    visitor.sign_in(crowd.owner)
    found = [p for p in site.pages(crowd) if p.who == "owner" and p.pattern.endswith(MAIN)]

    said = []
    for page in found:
        visitor.page.goto(page.path)
        said += too_wide(visitor, page)

    assert len(found) == len(MAIN)
    assert said == []


@pytest.mark.verify
@pytest.mark.parametrize("who", ["anonymous", "owner", "staff"])
def test_every_page_fits_every_window_and_is_clean_in_every_look(visitor, crowd, who):
    if who != "anonymous":
        visitor.sign_in(crowd.owner if who == "owner" else crowd.staff)
    said = []
    for page in site.pages(crowd):
        if page.who == who and not page.asks_stripe:
            visitor.page.emulate_media(reduced_motion="reduce")
            visitor.page.goto(page.path)
            said += too_wide(visitor, page)
            said += unclean(visitor, page)

    assert said == []


def unclean(visitor, page):
    try:
        visitor.look(f"every-{page.pattern.strip('/').replace('/', '-')}")
    except AssertionError as found:
        return [str(found)[:600]]
    return []
