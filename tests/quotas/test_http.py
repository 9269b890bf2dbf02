"""The usage calls over HTTP. Every test runs through Django, the hot path and the event loop."""

import json
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from django.utils import timezone

from quotas.api import bearers, calls
from quotas.engine import enforcement, lane, writer
from quotas.engine.session import Session
from quotas.models import Balance, ServiceToken, UsageEvent
from quotas.satellites import issue_token, revoke_token, rotate_token
from tests.factories.orgs import OrganizationFactory
from tests.factories.quotas import SatelliteFactory, change_head, limit_of, limited
from tests.quotas.api import FRONTS, SatelliteClient

pytestmark = pytest.mark.usefixtures("durable")

STORAGE = "storage"
QUERIES = "ai_queries"
FIELDS = {
    "allowed", "reason", "plan", "meter", "used", "held", "limit", "remaining", "overage",
    "resets_at", "upgrade_url", "enforcement",
}  # fmt: skip


@pytest.fixture(params=FRONTS)
def front(request):
    return request.param


@pytest.fixture
def satellite():
    return SatelliteFactory.create()


@pytest.fixture
def client(front, satellite):
    _token, secret = issue_token(satellite)
    return SatelliteClient(secret, front=front)


def asked(organization, meter=STORAGE, amount=1, **more):
    return {"organization": str(organization.pk), "meter": meter, "amount": amount, **more}


def test_a_check_answers_with_the_numbers(client):
    organization = limited(storage=10)

    answer = client.post("usage/check", asked(organization, amount=3))

    assert answer.status == 200
    assert set(answer.body) == FIELDS
    assert answer.body["allowed"] is True
    assert (answer.body["limit"], answer.body["remaining"]) == (10, 10)
    assert not UsageEvent.objects.exists()


def test_a_check_that_would_be_refused_is_answered_200(client):
    organization = limited(storage=10)

    answer = client.post("usage/check", asked(organization, amount=11))

    assert answer.status == 200
    assert (answer.body["allowed"], answer.body["reason"]) == (False, "quota_exceeded")


def test_an_organization_may_be_named_by_its_slug(client):
    organization = limited(storage=10)

    answer = client.post("usage/check", asked(organization) | {"organization": organization.slug})

    assert answer.status == 200


def test_a_consume_counts_and_names_its_event(client):
    organization = limited(storage=10)

    answer = client.post("usage/consume", asked(organization, amount=4, idempotency_key="k"))

    assert answer.status == 200
    assert set(answer.body) == FIELDS | {"event_id"}
    assert answer.body["used"] == 4
    assert Balance.objects.get().used == 4


def test_the_same_key_gets_the_same_bytes(client):
    organization = limited(storage=10)
    body = asked(organization, amount=4, idempotency_key="k")
    first = client.post("usage/consume", body)

    again = client.post("usage/consume", body)

    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"


def test_the_key_may_come_in_the_header(client):
    organization = limited(storage=10)

    statuses = [
        client.post(
            "usage/consume", asked(organization, amount=4), **{"idempotency-key": "k"}
        ).status
        for _ in range(2)
    ]

    assert statuses == [200, 200]
    assert Balance.objects.get().used == 4


def test_two_keys_that_differ_are_refused(client):
    organization = limited(storage=10)

    answer = client.post(
        "usage/consume", asked(organization, idempotency_key="a"), **{"idempotency-key": "b"}
    )

    assert (answer.status, answer.body["field"]) == (422, "idempotency_key")


def test_a_level_beyond_its_limit_is_402(client):
    organization = limited(storage=10)

    answer = client.post("usage/consume", asked(organization, amount=11, idempotency_key="k"))

    assert answer.status == 402
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["code"] == "quota_exceeded"
    assert (answer.body["used"], answer.body["limit"]) == (0, 10)
    assert "Retry-After" not in answer.headers
    assert answer.body["detail"]


def test_a_flow_beyond_its_limit_is_429_and_says_when_it_resets(client):
    organization = limited(ai_queries=10)
    end = limit_of(organization, QUERIES, amount=10).period_end
    change_head(organization, frozen_at=end - timedelta(seconds=90))

    answer = client.post("usage/consume", asked(organization, QUERIES, 11, idempotency_key="k"))

    assert answer.status == 429
    assert answer.headers["Retry-After"] == "90"
    assert answer.body["code"] == "quota_exceeded"


@pytest.mark.parametrize(
    ("head", "code"),
    [({"access": "read_only"}, "account_locked"), ({"access": "restricted"}, "payment_required")],
)
def test_access_is_403(client, head, code):
    organization = limited(storage=10)
    change_head(organization, **head)

    answer = client.post("usage/consume", asked(organization, idempotency_key="k"))

    assert (answer.status, answer.body["code"]) == (403, code)


def test_a_missing_feature_is_403(client):
    organization = limited(storage={"amount": 0, "refusal": "feature_unavailable"})

    answer = client.post("usage/consume", asked(organization, idempotency_key="k"))

    assert (answer.status, answer.body["code"]) == (403, "feature_unavailable")


def test_another_body_under_the_same_key_is_409(client):
    organization = limited(storage=10)
    client.post("usage/consume", asked(organization, amount=1, idempotency_key="k"))

    answer = client.post("usage/consume", asked(organization, amount=2, idempotency_key="k"))

    assert (answer.status, answer.body["code"]) == (409, "idempotency_conflict")


def test_authorize_refuses_by_status_and_counts_nothing(client):
    organization = limited(storage=10)

    admitted = client.post("usage/authorize", asked(organization, amount=10))
    refused = client.post("usage/authorize", asked(organization, amount=11))

    assert (admitted.status, refused.status) == (200, 402)
    assert not UsageEvent.objects.exists()


def test_a_record_passes_the_limit(client):
    organization = limited(ai_queries=10)

    answer = client.post(
        "usage/record",
        asked(
            organization,
            QUERIES,
            12,
            idempotency_key="k",
            occurred_at=(timezone.now() - timedelta(minutes=1)).isoformat(),
        ),
    )

    assert answer.status == 200
    assert (answer.body["used"], answer.body["overage"]) == (12, 2)


def test_several_meters_are_counted_all_or_none(client):
    organization = limited(storage=10, ai_queries=1)
    lines = [{"meter": STORAGE, "amount": 5}, {"meter": QUERIES, "amount": 2}]
    body = {"organization": str(organization.pk), "lines": lines}

    refused = client.post("usage/consume", {**body, "idempotency_key": "a"})
    lines[1]["amount"] = 1
    admitted = client.post("usage/consume", {**body, "idempotency_key": "b"})

    assert (refused.status, refused.body["meter"]) == (429, QUERIES)
    assert [line["used"] for line in admitted.body["lines"]] == [5, 1]


def test_a_release_by_key_and_by_amount(client):
    organization = limited(storage=10)
    client.post("usage/consume", asked(organization, amount=8, idempotency_key="k"))
    name = {"organization": str(organization.pk)}

    by_amount = client.post("usage/release", {**name, "meter": STORAGE, "amount": 3})
    too_much = client.post("usage/release", {**name, "idempotency_key": "k"})
    unknown = client.post("usage/release", {**name, "idempotency_key": "other"})

    assert (by_amount.status, by_amount.body["used"]) == (200, 5)
    assert (too_much.status, too_much.body["code"]) == (409, "release_exceeds_usage")
    assert (unknown.status, unknown.body["code"]) == (410, "key_gone")


def test_a_level_is_put_and_an_older_observation_is_409(client):
    organization = limited(storage=10)
    now = timezone.now()
    body = {"organization": str(organization.pk), "meter": STORAGE, "value": 7}

    put = client.put("usage/level", {**body, "observed_at": now.isoformat()})
    older = client.put(
        "usage/level", {**body, "observed_at": (now - timedelta(seconds=1)).isoformat()}
    )

    assert (put.status, put.body["used"]) == (200, 7)
    assert (older.status, older.body["code"]) == (409, "stale_observation")


def test_a_hold_is_made_committed_and_ended_once(client):
    organization = limited(ai_queries=10)
    hold = client.post("usage/reservations", asked(organization, QUERIES, 8, idempotency_key="h"))
    path = f"usage/reservations/{hold.body['id']}"

    committed = client.post(f"{path}/commit", {"amount": 5})
    again = client.post(f"{path}/commit", {"amount": 5})
    voided = client.post(f"{path}/void")

    assert (hold.status, hold.body["held"]) == (200, 8)
    assert (committed.status, committed.body["used"], committed.body["held"]) == (200, 5, 0)
    assert again.content == committed.content
    assert (voided.status, voided.body["code"]) == (409, "reservation_ended")


def test_an_unknown_hold_is_404(client):
    answer = client.post("usage/reservations/rsv_nothing/commit", {"amount": 1})

    assert (answer.status, answer.body["code"]) == (404, "reservation_not_found")


def test_a_batch_has_a_result_for_every_event(client):
    organization = limited(storage=10, ai_queries=1)
    events = [
        {"type": "consume", "meter": STORAGE, "amount": 4, "idempotency_key": "a"},
        {"type": "consume", "meter": STORAGE, "amount": 7, "idempotency_key": "b"},
        {"type": "record", "meter": QUERIES, "amount": 3, "idempotency_key": "c"},
        {"type": "consume", "meter": "quarks", "idempotency_key": "d"},
        {"type": "release", "idempotency_key": "a"},
        {"type": "consume", "meter": STORAGE, "amount": 10, "idempotency_key": "e"},
        {"type": "teleport"},
        7,
    ]

    answer = client.post("usage/batch", {"organization": organization.slug, "events": events})

    results = answer.body["results"]
    assert answer.status == 200
    assert [result["status"] for result in results] == [200, 402, 200, 422, 200, 200, 422, 422]
    assert results[5]["used"] == 10
    assert results[3]["field"] == "meter"


def test_a_batch_of_a_thousand_is_one_call(client):
    organization = limited(ai_queries=None)
    events = [{"meter": QUERIES, "idempotency_key": f"e{n}"} for n in range(1000)]

    answer = client.post("usage/batch", {"organization": str(organization.pk), "events": events})

    assert answer.status == 200
    assert answer.body["results"][-1]["used"] == 1000


@pytest.mark.parametrize("events", [[], [{}] * 1001, {}, None, "x"])
def test_a_batch_has_one_to_a_thousand_events(client, events):
    answer = client.post("usage/batch", {"events": events})

    assert (answer.status, answer.body["field"]) == (422, "events")


@pytest.mark.parametrize(
    "amount",
    ["true", '"3"', "1e3", "5.0", "-1", "0", "NaN", "Infinity", "1e999", "1" + "0" * 30,
     "9" * 2000, "null", "[1]", "{}", '"1_000"', '"٣"', '" 7 "', "1000000000000001"],
)  # fmt: skip
def test_an_amount_is_a_strict_integer(client, amount):
    organization = limited(storage=None)
    body = json.dumps(asked(organization, idempotency_key="k", amount="HERE"))

    answer = client.post("usage/consume", body.replace('"HERE"', amount).encode())

    assert (answer.status, answer.body["field"]) == (422, "amount")
    assert not UsageEvent.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"organization": None}, "organization"),
        ({"organization": 7}, "organization"),
        ({"organization": "a\x00b"}, "organization"),
        ({"meter": None}, "meter"),
        ({"meter": "quarks"}, "meter"),
        ({"meter": "members"}, "meter"),
        ({"idempotency_key": None}, "idempotency_key"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "~x"}, "idempotency_key"),
        ({"idempotency_key": 5}, "idempotency_key"),
        ({"member": 5}, "member"),
        ({"member": "x" * 65}, "member"),
        ({"dimensions": {"prompt": "x"}}, "dimensions"),
        ({"dimensions": {"model": 5}}, "dimensions.model"),
        ({"dimensions": {"model": "x" * 65}}, "dimensions.model"),
        ({"dimensions": [1]}, "dimensions"),
        ({"amuont": 5}, "amuont"),
        ({"lines": [{"meter": QUERIES}]}, "lines"),
    ],
)
def test_a_mistake_is_422_and_names_its_field(client, change, field):
    organization = limited(ai_queries=10, storage=10)

    answer = client.post(
        "usage/consume", asked(organization, QUERIES, idempotency_key="k") | change
    )

    assert (answer.status, answer.body["field"]) == (422, field)
    assert not UsageEvent.objects.exists()


@pytest.mark.parametrize("missing", ["organization", "meter", "idempotency_key"])
def test_a_missing_field_is_named(client, missing):
    organization = limited(storage=10)
    body = asked(organization, idempotency_key="k")
    del body[missing]

    answer = client.post("usage/consume", body)

    assert (answer.status, answer.body["field"]) == (422, missing)


@pytest.mark.parametrize(
    "occurred_at", ["yesterday", "2026-11-20", "2026-11-20T10:00:00", 5, "1990-01-01T00:00:00Z",
                    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
)  # fmt: skip
def test_an_instant_has_a_zone_and_is_recent(client, occurred_at):
    organization = limited(ai_queries=10)

    answer = client.post(
        "usage/record",
        asked(organization, QUERIES, idempotency_key="k", occurred_at=occurred_at),
    )

    assert (answer.status, answer.body["field"]) == (422, "occurred_at")


@pytest.mark.parametrize(
    "raw", [b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":1}x', b"\x00", b"{'a':1}"]
)
def test_what_is_not_json_is_400(client, raw):
    answer = client.post("usage/consume", raw)

    assert (answer.status, answer.body["code"]) == (400, "malformed")


@pytest.mark.parametrize("raw", [b"7", b"[]", b"null", b'"x"', b"true"])
def test_what_is_not_an_object_is_422(client, raw):
    answer = client.post("usage/consume", raw)

    assert answer.status == 422


def test_an_unknown_organization_is_404(client):
    for name in (str(uuid4()), "no-such-team"):
        answer = client.post(
            "usage/consume",
            {"organization": name, "meter": STORAGE, "idempotency_key": "k"},
        )
        assert (answer.status, answer.body["code"]) == (404, "organization_not_found")


def test_without_a_token_it_is_401(front):
    organization = limited(storage=10)

    answer = SatelliteClient(None, front=front).post("usage/check", asked(organization))

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("secret", ["lls_wrong", "llp_personal", "x", "lls_" + "x" * 500, "lls_é"])
def test_a_token_nobody_issued_is_401(front, secret):
    organization = limited(storage=10)

    answer = SatelliteClient(secret, front=front).post("usage/check", asked(organization))

    assert answer.status == 401


def test_a_revoked_token_is_401(front, satellite):
    organization = limited(storage=10)
    token, secret = issue_token(satellite)
    revoke_token(token)

    answer = SatelliteClient(secret, front=front).post("usage/check", asked(organization))

    assert answer.status == 401


def test_a_rotated_token_works_until_its_end(front, satellite):
    organization = limited(storage=10)
    token, old = issue_token(satellite)
    _fresh, new = rotate_token(token, old_until=timezone.now() + timedelta(hours=1))

    statuses = [
        SatelliteClient(secret, front=front).post("usage/check", asked(organization)).status
        for secret in (old, new)
    ]
    ServiceToken.objects.filter(pk=token.pk).update(expires_at=timezone.now())
    bearers.forget()
    ended = SatelliteClient(old, front=front).post("usage/check", asked(organization))

    assert statuses == [200, 200]
    assert ended.status == 401


def test_a_token_of_a_disabled_satellite_is_401(front, satellite):
    organization = limited(storage=10)
    _token, secret = issue_token(satellite)
    satellite.disabled_at = timezone.now()
    satellite.save()

    answer = SatelliteClient(secret, front=front).post("usage/check", asked(organization))

    assert answer.status == 401


def test_a_token_in_the_url_is_not_read(front, satellite):
    organization = limited(storage=10)
    _token, secret = issue_token(satellite)

    answer = SatelliteClient(None, front=front).post(
        f"usage/check?token={secret}", asked(organization)
    )

    assert answer.status == 401


def test_a_token_keeps_to_its_meters(front, satellite):
    organization = limited(storage=10, ai_queries=10)
    _token, secret = issue_token(satellite, meters=[STORAGE])
    client = SatelliteClient(secret, front=front)

    inside = client.post("usage/check", asked(organization))
    outside = client.post("usage/check", asked(organization, QUERIES))

    assert inside.status == 200
    assert (outside.status, outside.body["code"]) == (403, "out_of_scope")


def test_a_token_keeps_to_its_organizations(front, satellite):
    own, foreign = limited(storage=10), limited(storage=10)
    _token, secret = issue_token(satellite, organizations=[own.pk])
    client = SatelliteClient(secret, front=front)

    inside = client.post("usage/check", asked(own))
    outside = client.post("usage/check", asked(foreign))
    unknown = client.post("usage/check", asked(own) | {"organization": str(uuid4())})

    assert inside.status == 200
    assert [outside.status, unknown.status] == [403, 403]


def test_a_token_remembers_when_it_was_last_used(client):
    organization = limited(storage=10)

    client.post("usage/check", asked(organization))

    assert ServiceToken.objects.get().last_used_at is not None


def test_only_the_hash_of_a_token_is_stored(satellite):
    token, secret = issue_token(satellite)

    stored = ServiceToken.objects.values().get()

    assert secret.startswith("lls_")
    assert secret not in json.dumps(stored, default=str)
    assert token.prefix == secret[:12]


def test_the_answers_of_both_paths_are_the_same(satellite):
    organization = limited(storage=10, ai_queries={"amount": 5, "hard": False})
    _token, secret = issue_token(satellite)
    clients = [SatelliteClient(secret, front=front) for front in FRONTS]
    bodies = [
        asked(organization, amount=11, idempotency_key="refused"),
        asked(organization, amount=4, idempotency_key="taken"),
        asked(organization, QUERIES, 7, idempotency_key="over"),
        asked(organization, amount=0, idempotency_key="zero"),
        {"organization": "nobody"},
    ]

    for body in bodies:
        answers = [client.post("usage/consume", body) for client in clients]
        plain = [{**answer.body, "request_id": None} for answer in answers]
        assert len({answer.body.get("request_id", front) for answer, front in told(answers)}) == 3
        assert len({answer.status for answer in answers}) == 1
        assert plain[0] == plain[1] == plain[2]
        assert len({answer.headers["Content-Type"] for answer in answers}) == 1


def told(answers):
    return zip(answers, FRONTS, strict=True)


def test_what_every_answer_says_to_a_browser_is_said_by_all_fronts(satellite):
    _token, secret = issue_token(satellite)
    organization = limited(storage=10)
    wanted = {"X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Cache-Control"}
    wanted |= {"Cross-Origin-Opener-Policy", "Content-Security-Policy"}

    for amount in (1, 11):
        for front in FRONTS:
            client = SatelliteClient(secret, front=front)
            answer = client.post("usage/consume", asked(organization, amount=amount) | key_of())
            assert answer.headers.keys() >= wanted, (front, answer.status)


def test_a_failure_is_found_in_the_logs_by_the_id_in_its_answer(client, monkeypatch, caplog):
    organization = limited(storage=10)
    assert client.post("usage/consume", asked(organization) | key_of()).status == 200

    def broken(*_arguments):
        raise RuntimeError("as a bug would")

    monkeypatch.setattr(enforcement, "answered", broken)
    monkeypatch.setattr(calls, "consume", broken)
    monkeypatch.setitem(calls.HOT, "/api/v1/usage/consume", broken)
    answer = client.post("usage/consume", asked(organization) | key_of())

    assert (answer.status, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert answer.body["request_id"] == answer.headers["X-Request-Id"]
    assert answer.body["request_id"] in " ".join(str(record.msg) for record in caplog.records)


def key_of():
    return {"idempotency_key": str(uuid4())}


def test_a_body_that_is_too_large_is_refused(client):
    answer = client.post("usage/batch", b'{"events":"' + b"x" * 1_100_000 + b'"}')

    assert (answer.status, answer.body["code"]) == (413, "too_large")
    assert not UsageEvent.objects.exists()


@pytest.mark.parametrize("path", ["usage/check", "usage/consume", "usage/batch"])
def test_postgresql_away_is_503_and_admits_nothing(client, monkeypatch, path):
    organization = limited(storage=10)
    lane.stop_all()

    def away(_session):
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(Session, "_connect", away)
    monkeypatch.setattr(writer, "_RECONNECT_PAUSES", (0.0,))
    answer = client.post(path, asked(organization, idempotency_key="k"))

    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.body["code"] in {"unavailable", "outcome_unknown"}


def test_postgresql_away_is_503_for_a_known_token_too(client, monkeypatch):
    organization = limited(storage=10)
    client.post("usage/check", asked(organization))
    lane.stop_all()

    def away(_session):
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(Session, "_connect", away)
    monkeypatch.setattr(writer, "_RECONNECT_PAUSES", (0.0,))
    answer = client.post("usage/consume", asked(organization, idempotency_key="k"))

    assert answer.status == 503


def test_an_installation_without_a_catalogue_is_503(client):
    organization = OrganizationFactory.create()

    answer = client.post("usage/consume", asked(organization, idempotency_key="k"))

    assert (answer.status, answer.body["code"]) == (503, "unavailable")
