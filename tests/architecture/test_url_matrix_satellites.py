"""Service token x URL: a token opens the calls for its meters and organizations, no others."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from billing import catalog
from billing.catalog.apply import apply
from orgs.models import Organization
from quotas import satellites
from quotas.api import bearers, naming
from quotas.models import Satellite, ServiceToken
from tests.architecture import urlconf
from tests.architecture import world as worlds
from tests.architecture.asking import Ask
from tests.architecture.url_rules import RULES, Rule, Who
from tests.architecture.urlconf import Route
from tests.architecture.world import World
from tests.quotas.conftest import _fresh_copies, _lanes_end, durable

__all__ = ["_fresh_copies", "_lanes_end", "durable"]

pytestmark = pytest.mark.usefixtures("durable")
BATCH = "/api/v1/usage/batch"
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


@pytest.fixture
def world(durable) -> World:
    """Committed, because the usage calls read tokens on connections of their own."""
    bearers.forget()
    naming.forget()  # a former test's organizations had the same slugs
    apply(catalog.current(), None, {})
    found = worlds.build()
    with_usage(found)
    return found


@pytest.fixture
def satellite() -> Satellite:
    return Satellite.objects.create(key="drive", name="Drive")


def with_usage(world: World) -> None:
    """Something to release and something to commit, for both organizations."""
    _token, secret = satellites.issue_token(Satellite.objects.create(key="seed", name="Seed"))
    client = world.bearer(secret)
    for organization, samples in (
        (world.own, world.samples),
        (world.foreign, world.foreign_samples),
    ):
        used = {"organization": organization.slug, "meter": "ai_queries", "amount": 1}
        client.post(
            "/api/v1/usage/consume", used | {"idempotency_key": "sample"}, "application/json"
        )
        held = client.post(
            "/api/v1/usage/reservations", used | {"idempotency_key": "held"}, "application/json"
        )
        assert held.status_code == 200, held.content
        samples["reservation"] = held.json()["id"]


def ruled() -> Iterator[tuple[Route, Rule, str]]:
    for route in urlconf.routes():
        rule = RULES.get(route.pattern)
        if rule is not None and rule.who is Who.SATELLITE:
            for method in rule.answers:
                yield route, rule, method


def asking(world: World, satellite: Satellite, **scopes: object) -> Ask:
    _token, secret = satellites.issue_token(satellite, **scopes)  # type: ignore[arg-type]
    return Ask(world.bearer(secret))


def test_a_token_of_all_scopes_opens_every_call(world, satellite):
    ask = asking(world, Satellite.objects.get(key="seed"))

    for route, rule, method in ruled():
        ask.expect(rule.answers[method], method, route, world.samples)

    assert not ask.complaints, ask.report


def test_a_token_of_another_organization_opens_nothing_here(world, satellite):
    ask = asking(world, satellite, organizations=[world.foreign.pk])

    for route, _rule, method in ruled():
        if route.pattern not in BATCH:
            ask.expect(403, method, route, world.samples)

    assert not ask.complaints, ask.report


def test_a_token_of_another_meter_opens_no_call_about_this_one(world, satellite):
    ask = asking(world, satellite, meters=["members"])
    about_a_meter = [found for found in ruled() if "meter" in found[1].body]

    for route, _rule, method in about_a_meter:
        ask.expect(403, method, route, world.samples)

    assert len(about_a_meter) >= 6
    assert not ask.complaints, ask.report


def test_a_hold_of_another_organization_is_not_found(world, satellite):
    seed = Satellite.objects.get(key="seed")
    confined = asking(world, seed, organizations=[world.own.pk])
    elsewhere = asking(world, satellite)
    samples = world.samples | {"reservation": world.foreign_samples["reservation"]}
    ends = [found for found in ruled() if "reservation" in found[0].arguments]

    for route, _rule, method in ends:
        confined.expect(403, method, route, samples)
        elsewhere.expect(404, method, route, samples)

    assert len(ends) == 2
    assert not confined.complaints + elsewhere.complaints, confined.report + elsewhere.report


def test_each_event_of_a_batch_is_judged_by_the_tokens_scopes(world, satellite):
    elsewhere = asking(world, satellite, organizations=[world.foreign.pk])
    otherwise = asking(world, satellite, meters=["members"])
    event = {"organization": "own", "meter": "ai_queries", "idempotency_key": "judged"}

    judged = [
        ask.client.post(BATCH, {"events": [event]}, content_type="application/json").json()
        for ask in (elsewhere, otherwise)
    ]

    assert [answer["results"][0]["status"] for answer in judged] == [403, 403]


def test_a_dead_token_opens_nothing(world, satellite):
    complaints = []

    for fate in ("revoked", "expired", "unknown", "of a disabled satellite"):
        token, secret = satellites.issue_token(satellite)
        put_an_end_to(token, fate)
        ask = Ask(world.bearer(secret if fate != "unknown" else secret[:-1]))
        for route, _rule, method in ruled():
            ask.expect(401, method, route, world.samples)
        complaints += [f"{fate}: {line}" for line in ask.complaints]

    assert complaints == []


def put_an_end_to(token: ServiceToken, fate: str) -> None:
    past = timezone.now() - timedelta(seconds=1)
    if fate == "revoked":
        satellites.revoke_token(token)
    elif fate == "expired":
        ServiceToken.objects.filter(pk=token.pk).update(expires_at=past)
    elif fate == "of a disabled satellite":
        Satellite.objects.filter(pk=token.satellite_id).update(disabled_at=past)


def test_people_are_no_satellites(world):
    session = Ask(world.client("owner"))
    personal = Ask(world.bearer(world.samples["personal_token"]))

    for route, _rule, method in ruled():
        session.expect(401, method, route, world.samples)
        personal.expect(401, method, route, world.samples)

    assert not session.complaints + personal.complaints, session.report + personal.report


def test_a_token_in_the_url_opens_nothing(world, satellite):
    _token, secret = satellites.issue_token(satellite)
    ask = Ask(world.client("anonymous"))

    for route, _rule, method in ruled():
        response = ask.client.generic(method, f"{route.url(world.samples)}?token={secret}")
        if response.status_code != 401:
            ask.complaints.append(f"{route.pattern}: {response.status_code}")

    assert not ask.complaints, ask.report


def test_an_organization_that_does_not_exist_is_not_found(world, satellite):
    ask = asking(world, satellite)
    samples = world.samples | {"organization": "no-such", "slug": "no-such"}

    for route, _rule, method in ruled():
        if "reservation" not in route.arguments and route.pattern not in BATCH:
            ask.expect(404, method, route, samples)

    assert not ask.complaints, ask.report


def test_what_a_closed_organization_had_is_not_found(world, satellite):
    Organization.objects.filter(pk=world.own.pk).update(closed_at=timezone.now())
    ask = asking(world, satellite)

    for route, _rule, method in ruled():
        if "organization" in route.arguments:
            ask.expect(404, method, route, world.samples)

    assert not ask.complaints, ask.report


def test_a_method_without_a_rule_is_not_allowed(world, satellite):
    ask = asking(world, satellite)

    for route, rule, _method in ruled():
        for method in METHODS - set(rule.answers):
            ask.expect(405, method, route, world.samples)

    assert not ask.complaints, ask.report
