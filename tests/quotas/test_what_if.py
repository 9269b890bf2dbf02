"""The plan-change simulator: an edited catalogue asked about the organizations that are here."""

import csv
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing.catalog import loading
from billing.catalog.loading import CatalogInvalid
from billing.entitlement import store
from billing.models import EffectivePlan, PlanPrice, SubscriptionPlan
from orgs.models import AuditEntry
from quotas import allowances
from quotas.engine import enforcement, limits
from quotas.models import Balance, LimitAdjustment, UsageEvent, UsageLimit
from quotas.reading import what_if
from tests.architecture.asking import rows_written
from tests.billing.catalog_file import catalog_file
from tests.billing.conftest import published
from tests.billing.selling import pays, plan, put_on_sale
from tests.factories.orgs import OrganizationFactory, UserFactory

__all__ = ["catalog_file", "published"]

pytestmark = pytest.mark.django_db
GB = 2**30
NOW = timezone.now()


def edited(*changes):
    """The suite with each `(pattern, text)` replaced once."""
    text = loading.path_of("suite").read_text(encoding="utf-8")
    for pattern, new in changes:
        text, times = re.subn(pattern, new, text, count=1, flags=re.DOTALL)
        assert times == 1, pattern
    return text


def on(organization, **verdict):
    """Pays for Pro with ten seats, in a month that is half over."""
    pays(
        organization,
        period_start=NOW - timedelta(days=15),
        period_end=NOW + timedelta(days=15),
        **verdict,
    )
    limits.derive(organization, store.current(organization))
    return organization


def answers(*changes):
    answer = what_if.ask(what_if.read(edited(*changes)))
    return answer, {outcome.slug: outcome for outcome in answer.outcomes}


@pytest.fixture
def on_sale():
    put_on_sale()


LESS_STORAGE = (r"(\[plans\.pro\.limits\]\nstorage = \{ amount = )\"[^\"]+\"", r'\1"10 GB"')
DEARER = (r"(\[plans\.pro\.prices\].*?month\.usd = )[^\n]+", r"\g<1>900")


def test_nothing_differs_for_the_catalogue_that_is_sold_now(on_sale):
    on(OrganizationFactory.create())

    answer, outcomes = answers()

    assert outcomes == {}
    assert answer.before == answer.after == {"usd": 6000}


def test_a_dearer_plan_shows_who_pays_more_and_revenue_before_and_after(on_sale):
    on(OrganizationFactory.create(slug="acme"))
    OrganizationFactory.create(slug="free")

    answer, outcomes = answers(DEARER)

    assert (outcomes["acme"].now.amount, outcomes["acme"].then.amount) == (6000, 9000)
    assert set(outcomes) == {"acme"}
    assert (answer.before, answer.after) == ({"usd": 6000}, {"usd": 9000})
    assert (answer.pay_more, answer.pay_less) == (1, 0)


def test_currencies_and_years_are_never_added_up(on_sale):
    for slug, interval, currency in (("year", "year", "usd"), ("dong", "month", "vnd")):
        price = plan("pro").prices.on_sale().for_terms(interval, currency).get()
        on(
            OrganizationFactory.create(slug=slug),
            interval=interval, currency=currency, price_id=price.stripe_price_id,
        )  # fmt: skip

    answer, _outcomes = answers()

    year = PlanPrice.objects.get(plan=plan("pro"), interval="year", currency="usd")
    assert answer.before["usd"] * 12 == year.unit_amount * 10
    assert set(answer.before) == {"usd", "vnd"}


def test_who_uses_more_than_the_new_limit_goes_over(on_sale):
    heavy, light = (on(OrganizationFactory.create(slug=slug)) for slug in ("heavy", "light"))
    enforcement.consume(heavy, "storage", 50 * GB, idempotency_key="a")
    enforcement.consume(light, "storage", 5 * GB, idempotency_key="a")

    answer, outcomes = answers(LESS_STORAGE)

    (effect,) = outcomes["heavy"].effects
    assert (effect.meter, effect.used, effect.then) == ("storage", 50 * GB, 10 * GB)
    assert outcomes["heavy"].goes_over
    assert not outcomes["light"].goes_over
    assert answer.over == 1


def test_a_flow_counts_with_what_it_comes_to(on_sale):
    organization = on(OrganizationFactory.create(slug="acme"))
    present = UsageLimit.objects.get(organization=organization, meter="ai_queries")
    enforcement.record(organization, "ai_queries", present.amount // 2, idempotency_key="a")

    _answer, outcomes = answers(
        (r"(\[plans\.pro\.limits\.ai_queries\][^\n]*\namount = )[\d_]+", r"\g<1>70")
    )

    (effect,) = outcomes["acme"].effects
    assert effect.used == pytest.approx(present.amount, rel=0.01)
    assert effect.over_then


def test_packs_overrides_and_contracts_stay_as_they_are(on_sale):
    add, put = LimitAdjustment.Mode.ADD, LimitAdjustment.Mode.SET
    packed, fixed = (on(OrganizationFactory.create(slug=slug)) for slug in ("packed", "fixed"))
    allowances.adjust_limit(packed, "storage", add, 7 * GB, reason="a pack")
    allowances.adjust_limit(fixed, "storage", put, 3 * GB, reason="agreed")

    _answer, outcomes = answers(LESS_STORAGE)

    assert outcomes["packed"].effects[0].then == 17 * GB
    assert "fixed" not in outcomes


def test_a_plan_or_a_price_that_is_gone_is_kept_and_said(on_sale):
    on(OrganizationFactory.create(slug="acme"))
    candidate = what_if.read(edited())
    prices = {**candidate.plans["pro"].prices}
    prices.pop("month")
    pro = candidate.plans["pro"].model_copy(update={"prices": prices})

    answer = what_if.ask(candidate.model_copy(update={"plans": {**candidate.plans, "pro": pro}}))
    assert "not sold" in answer.outcomes[0].note
    assert answer.after == {"usd": 6000}

    left = {key: found for key, found in candidate.plans.items() if key != "pro"}
    answer = what_if.ask(candidate.model_copy(update={"plans": left}))
    assert "gone" in answer.outcomes[0].note


def test_mistakes_are_named_and_nothing_is_asked():
    for text in ("plans = ", 'key = "x"', edited((r'key = "suite"', 'colour = "red"'))):
        with pytest.raises(CatalogInvalid):
            what_if.read(text)


def test_asking_costs_as_many_queries_for_many_as_for_one_and_writes_nothing(on_sale):
    on(OrganizationFactory.create())
    before = rows_written()
    with CaptureQueriesContext(connection) as captured:
        answers(LESS_STORAGE)
    assert rows_written() == before
    for _ in range(3):
        on(OrganizationFactory.create())

    with CaptureQueriesContext(connection) as again:
        answers(LESS_STORAGE)

    assert len(again) == len(captured)
    assert not Balance.objects.exists()
    assert not UsageEvent.objects.exists()


# --- Pages ------------------------------------------------------------------------------------


@pytest.fixture
def staff(admin_client, settings):
    settings.ADMIN_REQUIRES_MFA = False
    return admin_client


def test_staff_paste_a_catalogue_and_get_an_answer_or_its_mistakes(staff, on_sale):
    on(OrganizationFactory.create(slug="acme", name="=acme"))
    url = reverse("admin:what-if")
    assert "default_plan" in staff.get(url).content.decode()

    page = staff.post(url, {"source": edited(DEARER)}).content.decode()
    assert "$60.00" in page
    assert "$90.00" in page

    file = SimpleUploadedFile("c.toml", edited(DEARER).encode())
    rows = list(
        csv.DictReader(StringIO(staff.post(url, {"file": file, "csv": "1"}).content.decode()))
    )
    assert (rows[0]["monthly_now"], rows[0]["monthly_then"]) == ("6000", "9000")
    assert rows[0]["name"] == "'=acme"

    broken = SimpleUploadedFile("broken", b"\xff")
    for wrong in ({"source": "key = 1"}, {"source": ""}, {"file": broken}):
        assert staff.post(url, wrong).status_code == 422
    assert EffectivePlan.objects.get(organization__slug="acme").plan.prices.count()


def test_system_admins_publish_what_they_have_seen(staff, published, catalog_file, settings):
    settings.CATALOG = catalog_file.name
    catalog_file.edit('name = { en = "Pro"', 'name = { en = "Professional"')
    loading.forget()
    url = reverse("admin:publish-catalogue")
    page = staff.get(url).content.decode()
    assert "Professional" in page
    seen = re.search(r'name="digest" value="(\w+)"', page).group(1)

    assert staff.post(url, {"digest": "0" * 64}).status_code == 200
    assert SubscriptionPlan.objects.get(key="pro", archived_at=None).name == "Pro"

    assert staff.post(url, {"digest": seen}).status_code == 302

    assert SubscriptionPlan.objects.get(key="pro", archived_at=None).name == "Professional"
    entry = AuditEntry.objects.filter(action="catalog.applied").latest("pk")
    assert (entry.actor_kind, entry.actor_label) == ("person", "admin@example.com")
    assert "agree" in staff.get(url).content.decode()


def test_staff_without_the_permission_look_and_change_nothing(client, settings, on_sale):
    settings.ADMIN_REQUIRES_MFA = False
    person = UserFactory.create(is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_subscriptionplan"))
    client.force_login(person)

    assert client.get(reverse("admin:publish-catalogue")).status_code == 200
    assert client.post(reverse("admin:publish-catalogue"), {"digest": ""}).status_code == 200
    assert client.get(reverse("admin:enforcement-modes")).status_code == 403
    assert not AuditEntry.objects.filter(action="catalog.applied", actor_kind="person").exists()
