"""The usage calls as their contract says (DESIGN 5), walked from outside: every call, every path.

Each test asks every call for one thing and compares all answers at once.
"""

import json
from datetime import timedelta
from itertools import count
from uuid import uuid4

import pytest
from django.utils import timezone

from billing import catalog
from billing.catalog.apply import apply
from orgs.organizations import close
from quotas.engine import enforcement
from quotas.models import Satellite
from quotas.satellites import issue_token
from tests.factories.orgs import owner_of
from tests.factories.quotas import SatelliteFactory, change_head, events_of, limit_of, limited
from tests.quotas.api import FRONTS, SatelliteClient

pytestmark = pytest.mark.usefixtures("durable")

STORAGE, QUERIES = "storage", "ai_queries"
NUMBERS = {
    "allowed", "reason", "plan", "meter", "used", "held", "limit", "remaining", "overage",
    "resets_at", "upgrade_url", "enforcement",
}  # fmt: skip
EVENT = NUMBERS | {"event_id"}
PROBLEM = {"type", "title", "status", "code", "detail", "request_id"}

# name → method, path, and a body that is right for an organization with some storage in use
CALLS = {
    "check": ("POST", "usage/check", {"meter": STORAGE, "amount": 1}),
    "authorize": ("POST", "usage/authorize", {"meter": STORAGE, "amount": 1}),
    "consume": ("POST", "usage/consume", {"meter": STORAGE, "amount": 1}),
    "record": ("POST", "usage/record", {"meter": STORAGE, "amount": 1}),
    "release": ("POST", "usage/release", {"meter": STORAGE, "amount": 1}),
    "level": ("PUT", "usage/level", {"meter": STORAGE, "value": 3}),
    "reserve": ("POST", "usage/reservations", {"meter": STORAGE, "amount": 1}),
}
KEYED = ("consume", "record", "release", "reserve")
ANSWERS = {
    **dict.fromkeys(("check", "authorize"), NUMBERS),
    **dict.fromkeys(("consume", "record", "release", "level"), EVENT),
    "reserve": EVENT | {"id", "expires_at"},
}
INTEGERS = {**dict.fromkeys(CALLS, "amount"), "level": "value"}
NO_INTEGERS = (
    "true", '"3"', "1e3", "5.0", "-1", "NaN", "-Infinity", "1" + "0" * 30, "9" * 500, "null",
    "[1]", "{}", '""',
)  # fmt: skip
serial = count(1)


@pytest.fixture
def satellite():
    return SatelliteFactory.create()


@pytest.fixture
def sides(satellite):
    """The same question for everybody who may answer it, each about a team of its own."""
    _token, secret = issue_token(satellite)
    return [(SatelliteClient(secret, front=front), team_in_use(satellite)) for front in FRONTS]


def team_in_use(satellite):
    team = limited(storage=100, ai_queries=10)
    key = {"idempotency_key": "own", "satellite": satellite.pk}
    assert enforcement.consume(team, STORAGE, 20, **key).allowed
    return team


def on_every_side(walk):
    """One test for all of them: emptying the tables after it takes longer than the walk."""

    def test(sides):
        for client, team in sides:
            walk(client, team)

    test.__name__ = walk.__name__
    return test


def asked(name, team, **changes):
    """The right body of a call, changed; a key of its own and an instant of now."""
    _method, _path, body = CALLS[name]
    more = {"organization": str(team.pk)}
    if name in KEYED:
        more["idempotency_key"] = f"walk-{next(serial)}"
    if name == "level":
        more["observed_at"] = timezone.now().isoformat()
    return {**body, **more, **changes}


def call(client, name, body, **headers):
    method, path, _body = CALLS[name]
    return client.send(method, path, body, **headers)


def walk(client, team, **changes):
    return {name: call(client, name, asked(name, team, **changes)) for name in CALLS}


def hold(client, team, amount=5):
    return call(client, "reserve", asked("reserve", team, amount=amount)).body["id"]


def said(answer):
    """What a program looks at; a problem is one in every respect."""
    if answer.status == 200:
        return 200
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body.keys() >= PROBLEM
    assert answer.body["status"] == answer.status
    assert answer.body["detail"].strip()
    assert answer.body["type"] == f"/problems/{answer.body['code']}"
    assert answer.body["request_id"] == answer.headers["X-Request-Id"]
    return answer.status, answer.body.get("field") or answer.body["code"]


def everywhere(answers):
    """The one thing that all of them say."""
    heard = {name: said(answer) for name, answer in answers.items()}
    first, *rest = heard.values()
    assert rest == [first] * len(rest), heard
    return first


@on_every_side
def test_each_call_answers_with_the_numbers_whichever_way_the_organization_is_named(client, team):
    for name_of in (str(team.pk), team.pk.hex, team.slug):
        answers = walk(client, team, organization=name_of)

        assert everywhere(answers) == 200
        assert {name: set(answer.body) for name, answer in answers.items()} == ANSWERS
        assert {answer.headers["Cache-Control"] for answer in answers.values()} == {
            "no-store, private"
        }


@on_every_side
def test_an_integer_is_an_integer_in_every_call(client, team):
    for literal in NO_INTEGERS:
        for name, field in INTEGERS.items():
            raw = json.dumps(asked(name, team, **{field: "HERE"})).replace('"HERE"', literal)
            assert said(call(client, name, raw.encode())) == (422, field), (name, literal)
    assert events_of(team).count() == 1


@on_every_side
def test_an_integer_is_an_integer_inside_lines_events_and_ends_of_holds(client, team):
    held = hold(client, team)
    name_of = {"organization": str(team.pk), "idempotency_key": "k"}
    bodies = {
        "usage/consume": {**name_of, "lines": [{"meter": STORAGE, "amount": "HERE"}]},
        "usage/reservations": {**name_of, "meter": STORAGE, "expires_in": "HERE"},
        f"usage/reservations/{held}/commit": {"amount": "HERE"},
        "usage/batch": {"events": [{**name_of, "meter": STORAGE, "amount": "HERE"}]},
    }
    for literal in NO_INTEGERS:
        for path, body in bodies.items():
            answer = client.post(path, json.dumps(body).replace('"HERE"', literal).encode())
            found = answer.body["results"][0] if path == "usage/batch" else answer.body
            field = "expires_in" if "expires_in" in body else "amount"
            assert (found["status"], found["field"]) == (422, field), (path, literal)


@on_every_side
def test_nothing_is_no_amount_but_may_be_a_level(client, team):
    for name in CALLS.keys() - {"level"}:
        assert said(call(client, name, asked(name, team, amount=0))) == (422, "amount")
    assert call(client, "level", asked("level", team, value=0)).body["used"] == 0
    assert (
        client.post(f"usage/reservations/{hold(client, team)}/commit", {"amount": 0}).status == 200
    )


@on_every_side
def test_a_field_that_does_not_exist_is_named_in_every_call(client, team):
    assert everywhere(walk(client, team, amuont=1)) == (422, "amuont")
    held = hold(client, team)
    for body, path in (
        ({"amount": 1, "meter": STORAGE}, f"usage/reservations/{held}/commit"),
        ({"meter": STORAGE}, f"usage/reservations/{held}/void"),
        ({"events": [{}], "meter": STORAGE}, "usage/batch"),
    ):
        assert said(client.post(path, body)) == (422, "meter"), path


@on_every_side
def test_a_meter_that_does_not_exist_is_named_in_every_call(client, team):
    assert everywhere(walk(client, team, meter="quarks")) == (422, "meter")
    for wrong in (None, 7, "", "x" * 65, "a\nb", ["storage"]):
        assert everywhere(walk(client, team, meter=wrong)) == (422, "meter"), wrong


@on_every_side
def test_an_organization_that_does_not_exist_is_not_found_by_any_call(client, team):
    for unknown in (str(uuid4()), "no-such-team"):
        answers = walk(client, team, organization=unknown)
        assert everywhere(answers) == (404, "organization_not_found")
    for wrong in (None, 7, "", "x" * 65, "a\x00b", {"id": 1}):
        assert everywhere(walk(client, team, organization=wrong)) == (422, "organization"), wrong


@on_every_side
def test_what_may_be_left_out_may_be_null_and_nothing_else(client, team):
    optional = {
        "member": CALLS.keys(),
        "dimensions": ("consume", "record", "reserve"),
        "lines": ("consume", "record"),
        "occurred_at": ("record",),
    }
    for field, names in optional.items():
        for name in names:
            assert said(call(client, name, asked(name, team, **{field: None}))) == 200
            for wrong in (False, 0, 7, [7], "x\n"):
                answer = call(client, name, asked(name, team, **{field: wrong}))
                assert said(answer) == (422, field), (name, field, wrong)


@on_every_side
def test_a_closed_organization_is_not_found_by_any_call(client, team):
    apply(catalog.current(), None, {})
    held = hold(client, team)
    close(team, actor=owner_of(team))
    ends = {
        "commit": client.post(f"usage/reservations/{held}/commit", {"amount": 1}),
        "void": client.post(f"usage/reservations/{held}/void"),
        "by key": client.post(
            "usage/release", {"organization": str(team.pk), "idempotency_key": "own"}
        ),
        "entitlements": client.get(f"organizations/{team.pk}/entitlements"),
        "usage": client.get(f"organizations/{team.slug}/usage"),
    }

    assert everywhere(walk(client, team)) == (404, "organization_not_found")
    assert everywhere(walk(client, team, organization=team.slug)) == (404, "organization_not_found")
    assert everywhere(ends) == (404, "organization_not_found")


@on_every_side
def test_the_key_may_come_in_the_header_of_every_call_that_has_one(client, team):
    for name in KEYED:
        body = asked(name, team)
        key = body.pop("idempotency_key")
        first = call(client, name, body, **{"idempotency-key": key})
        again = call(client, name, {**body, "idempotency_key": key})
        other = call(client, name, {**body, "idempotency_key": key}, **{"idempotency-key": "b"})
        assert (first.status, again.content) == (200, first.content), name
        assert again.headers["Idempotency-Replayed"] == "true", name
        assert "Idempotency-Replayed" not in first.headers, name
        assert said(other) == (422, "idempotency_key"), name


@on_every_side
def test_a_key_is_needed_where_something_is_counted(client, team):
    for name in ("consume", "record", "reserve"):
        body = asked(name, team)
        del body["idempotency_key"]
        assert said(call(client, name, body)) == (422, "idempotency_key"), name
    for wrong in ("", None, 5, "x" * 201, "~level:storage", "a\tb"):
        for name in KEYED:
            answer = call(client, name, asked(name, team, idempotency_key=wrong))
            assert said(answer) == (422, "idempotency_key"), (name, wrong)


@on_every_side
def test_a_key_of_another_request_is_a_conflict_in_every_call(client, team):
    for name in KEYED:
        body = asked(name, team)
        assert call(client, name, body).status == 200
        assert said(call(client, name, {**body, "amount": 2})) == (409, "idempotency_conflict")


@on_every_side
def test_a_limit_is_402_where_waiting_does_not_help_and_429_where_it_does(client, team):
    end = limit_of(team, QUERIES, amount=10).period_end
    change_head(team, frozen_at=end - timedelta(seconds=90))
    expected = {
        "check": 200,
        "record": 200,
        **dict.fromkeys(("authorize", "consume", "reserve"), (402, "quota_exceeded")),
    }
    for name, status in expected.items():
        answer = call(client, name, asked(name, team, amount=1_000))
        assert said(answer) == status, name
        assert "Retry-After" not in answer.headers, name
    for name, status in expected.items():
        answer = call(client, name, asked(name, team, meter=QUERIES, amount=11))
        if status != 200:
            assert said(answer) == (429, "quota_exceeded"), name
            assert answer.headers["Retry-After"] == "90", name
            assert answer.body.keys() >= NUMBERS, name
            assert answer.body["limit"] == 10, name


@on_every_side
def test_what_the_plan_refuses_is_403_and_what_has_happened_is_taken(client, team):
    holds = [hold(client, team) for _ in range(3)]
    lacking = {"amount": 0, "refusal": "feature_unavailable"}
    changes = (
        (lambda: change_head(team, access="read_only"), "account_locked"),
        (lambda: change_head(team, access="restricted"), "payment_required"),
        (lambda: limit_of(team, STORAGE, **lacking), "feature_unavailable"),
    )
    for change, code in changes:
        change_head(team, access="full")
        change()
        refused = dict.fromkeys(("authorize", "consume", "reserve"), (403, code))
        taken = dict.fromkeys(("check", "record", "release", "level"), 200)
        heard = {name: said(answer) for name, answer in walk(client, team).items()}
        assert heard == refused | taken
        end = client.post(f"usage/reservations/{holds.pop()}/commit", {"amount": 1})
        assert end.status == 200, code


@on_every_side
def test_each_state_that_refuses_a_call_has_a_code_of_its_own(client, team):
    now = timezone.now()
    name_of = {"organization": str(team.pk)}
    held, ended = hold(client, team), hold(client, team)
    client.post(f"usage/reservations/{ended}/void")
    call(client, "level", asked("level", team, value=1))
    flow = {"meter": QUERIES, "amount": 1}
    answers = {
        "stale_observation": call(
            client, "level", asked("level", team, observed_at=(now - timedelta(1)).isoformat())
        ),
        "observed_at": call(
            client, "level", asked("level", team, observed_at=(now + timedelta(1)).isoformat())
        ),
        "occurred_at": call(
            client, "record", asked("record", team, occurred_at=(now - timedelta(36)).isoformat())
        ),
        "release_exceeds_usage": call(client, "release", asked("release", team, amount=50)),
        "meter": call(client, "release", asked("release", team, **flow)),
        "key_gone": client.post("usage/release", {**name_of, "idempotency_key": "never"}),
        "reservation_not_found": client.post("usage/reservations/rsv_x/void"),
        "reservation_ended": client.post(f"usage/reservations/{ended}/commit", {"amount": 1}),
        "amount": client.post(f"usage/reservations/{held}/commit", {"amount": 6}),
    }
    statuses = {
        "stale_observation": 409, "observed_at": 422, "occurred_at": 422,
        "release_exceeds_usage": 409, "meter": 422, "key_gone": 410,
        "reservation_not_found": 404, "reservation_ended": 409, "amount": 422,
    }  # fmt: skip

    heard = {name: said(answer) for name, answer in answers.items()}

    assert heard == {name: (status, name) for name, status in statuses.items()}


@on_every_side
def test_a_release_by_key_happens_once_and_says_so(client, team):
    body = {"organization": str(team.pk), "idempotency_key": "own"}

    first, again = (client.post("usage/release", body) for _ in range(2))

    assert (first.status, first.body["used"]) == (200, 0)
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"


@on_every_side
def test_nobody_is_let_in_by_a_wrong_credential_and_every_answer_is_a_problem(client, team):
    stranger = SatelliteClient(None, front=client.front)
    for credential in ({}, {"authorization": "Basic eDp5"}, {"authorization": "Bearer"},
                       {"authorization": "Bearer lls_nobody"}):  # fmt: skip
        for name in CALLS:
            answer = call(stranger, name, asked(name, team), **credential)
            assert said(answer)[0] == 401, (name, credential)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer"), name


@on_every_side
def test_a_token_keeps_to_its_scopes_in_every_call(client, team):
    held = hold(client, team)
    scopes = ({"meters": [QUERIES]}, {"organizations": [uuid4()]})
    secrets = [issue_token(Satellite.objects.get(), **scope)[1] for scope in scopes]
    for secret in secrets:
        scoped = SatelliteClient(secret, front=client.front)
        for name, answer in walk(scoped, team).items():
            assert (answer.status, answer.body["code"]) == (403, "out_of_scope"), name
    scoped = SatelliteClient(secrets[-1], front=client.front)
    assert said(scoped.post(f"usage/reservations/{held}/void"))[0] == 403
    assert said(scoped.get(f"organizations/{team.pk}/usage"))[0] == 403


@on_every_side
def test_what_is_no_call_is_a_problem_too(client, team):
    answers = {
        405: client.get("usage/consume"),
        415: client.send("POST", "usage/consume", b"<xml/>", content_type="application/xml"),
        400: client.post("usage/consume", b"{"),
        404: client.post("usage/teleport", {}),
    }

    assert {status: said(answer)[0] for status, answer in answers.items()} == {
        status: status for status in answers
    }
    assert answers[405].headers["Allow"]
