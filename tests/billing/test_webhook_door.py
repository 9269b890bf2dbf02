"""The webhook's door: what is not a signed event of ours leaves no trace, never a 5xx (A7-A18)."""

import io
import json
import time
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.db import OperationalError, connection
from django.test import Client, RequestFactory

from billing.gateway.webhooks import inbox
from billing.models import InboxEvent
from tests.billing.stripe_events import WEBHOOK, post, signature

pytestmark = pytest.mark.django_db

DAY = 86_400


def event(**changes):
    body = {
        "id": "evt_door",
        "object": "event",
        "type": "customer.updated",
        "livemode": False,
        "api_version": "2026-08-26.dahlia",
        "created": 1_790_000_000,
        "data": {"object": {"id": "cus_door", "object": "customer"}},
    }
    return body | changes


def test_a_signed_event_is_stored_once_and_acknowledged():
    client = Client()

    answers = [post(client, event()).status_code for _ in range(3)]

    assert answers == [200, 200, 200]
    row = InboxEvent.objects.get()
    assert (row.event_id, row.customer_id, row.state) == ("evt_door", "cus_door", "waiting")


def test_both_paths_of_the_documents_lead_to_the_same_inbox():
    body = json.dumps(event()).encode()

    answer = Client().post(
        "/api/subscriptions/webhook",
        data=body,
        content_type="application/json",
        headers={"stripe-signature": signature(body)},
    )

    assert answer.status_code == 200
    assert InboxEvent.objects.count() == 1


NUL = b'{"id": "evt_\x00"}'
JUNK = {
    "nothing": b"",
    "text": b"hello",
    "NUL byte": NUL,
    "scalar JSON": b"42",
    "null": b"null",
    "list": b"[]",
    "deep nesting": b"[" * 100_000 + b"]" * 100_000,
    "lone surrogate": b'"\\ud800"',
    "not UTF-8": b"\xff\xfe\x00",
    "an object of no event": b"{}",
}


@pytest.mark.parametrize("name", JUNK)
@pytest.mark.parametrize("header", ["", "junk", "t=1,v1=", "t=x,v1=y", "t=1", "v1=abc", ",,,=,"])
def test_junk_without_a_good_signature_is_refused_without_a_trace(name, header):
    answer = post(Client(), JUNK[name], **{"stripe-signature": header})

    assert answer.status_code == 400
    assert not InboxEvent.objects.exists()


@pytest.mark.parametrize("name", JUNK)
def test_junk_that_somebody_signed_is_refused_as_well(name):
    answer = post(Client(), JUNK[name])

    assert answer.status_code == 400
    assert not InboxEvent.objects.exists()


BROKEN: dict[str, dict[str, Any]] = {
    "no id": {"id": None},
    "id is a number": {"id": 5},
    "endless id": {"id": "evt_" + "x" * 300},
    "type is a list": {"type": []},
    "data is text": {"data": "x"},
    "object is a list": {"data": {"object": []}},
    "account is a number": {"account": 7},
    "not an event": {"object": "charge"},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_signed_body_without_stripes_shape_is_refused(name):
    answer = post(Client(), event(**BROKEN[name]))

    assert answer.status_code == 400
    assert not InboxEvent.objects.exists()


ODD: dict[str, dict[str, Any]] = {
    "created is text": {"created": "yesterday"},
    "created is huge": {"created": 10**30},
    "no version": {"api_version": None},
    "customer is a list": {"data": {"object": {"id": "in_1", "object": "invoice", "customer": []}}},
    "object kind is a dict": {"data": {"object": {"object": {"object": {}}}}},
    "not a number": {"data": {"object": {"id": "x", "object": "invoice", "n": float("nan")}}},
}


@pytest.mark.parametrize("name", ODD)
def test_oddities_inside_a_signed_event_never_fail_the_door(name):
    answer = post(Client(), event(**ODD[name]))

    assert answer.status_code == 200


@pytest.mark.parametrize("seconds", [301, -301, -365 * DAY, 365 * DAY])
def test_a_signature_from_another_time_is_refused(seconds):
    body = json.dumps(event()).encode()

    answer = post(Client(), body, **{"stripe-signature": signature(body, at=time.time() - seconds)})

    assert answer.status_code == 400
    assert not InboxEvent.objects.exists()


@pytest.mark.parametrize("seconds", [290, -290])
def test_a_signature_within_five_minutes_holds(seconds):
    body = json.dumps(event()).encode()

    answer = post(Client(), body, **{"stripe-signature": signature(body, at=time.time() - seconds)})

    assert answer.status_code == 200


def test_during_a_roll_of_the_secret_both_are_accepted(settings):
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new", "whsec_old"]
    body = json.dumps(event()).encode()
    with_old, with_new = signature(body, "whsec_old"), signature(body, "whsec_new")

    answers = [
        post(Client(), body, **{"stripe-signature": header}).status_code
        for header in (with_old, with_new, with_old + "," + with_new.split(",")[1])
    ]

    assert answers == [200, 200, 200]


@pytest.mark.parametrize("secrets", [[], [""]])
def test_an_empty_secret_verifies_nothing(settings, secrets):
    settings.STRIPE_WEBHOOK_SECRETS = secrets
    body = json.dumps(event()).encode()

    answer = post(Client(), body, **{"stripe-signature": signature(body, "")})

    assert answer.status_code == 400
    assert not InboxEvent.objects.exists()


def test_the_caller_cannot_choose_the_secret(settings):
    settings.DEBUG = True
    body = json.dumps(event()).encode()

    answer = post(
        Client(),
        body,
        **{
            "stripe-signature": signature(body, "whsec_mine"),
            "x-djstripe-webhook-secret": "whsec_mine",
        },
    )

    assert answer.status_code == 400


def test_a_body_over_a_mebibyte_is_refused_before_it_is_read():
    body = json.dumps(event(padding="x" * 1_100_000)).encode()

    answer = post(Client(), body)

    assert answer.status_code == 413
    assert not InboxEvent.objects.exists()


@pytest.mark.parametrize("address", ["unknown", "not-an-ip", "1.2.3.4, x", "9" * 10_000])
def test_a_bad_forwarded_for_header_does_not_lose_an_event(address):
    answer = post(Client(), event(), **{"x-forwarded-for": address})

    assert answer.status_code == 200
    assert InboxEvent.objects.count() == 1


def test_a_nul_inside_a_valid_event_is_quarantined_for_a_person():
    subject = {"id": "cus_door", "object": "customer", "metadata": {"note": "a\x00b"}}

    answer = post(Client(), event(data={"object": subject}))

    assert answer.status_code == 200
    assert InboxEvent.objects.get().state == InboxEvent.State.DEAD


def test_an_unknown_type_is_acknowledged_and_left_alone():
    answer = post(Client(), event(type="foo.bar"))

    assert answer.status_code == 200
    assert InboxEvent.objects.get().state == InboxEvent.State.IGNORED


def test_an_event_of_the_other_mode_has_no_effect():
    answer = post(Client(), event(livemode=True))

    assert answer.status_code == 200
    assert InboxEvent.objects.get().state == InboxEvent.State.IGNORED


def test_an_event_of_another_account_is_refused():
    answer = post(Client(), event(account="acct_other"))

    assert answer.status_code == 400
    assert not InboxEvent.objects.exists()


def test_only_harmless_headers_and_no_personal_data_are_kept():
    subject = {
        "id": "cus_door",
        "object": "customer",
        "name": "Nguyễn Minh Anh",
        "email": "minh@example.com",
        "phone": "+84 90 000 0000",
        "address": {"line1": "24 Nguyễn Huệ", "city": "Hồ Chí Minh"},
        "shipping": {"name": "Nguyễn Minh Anh"},
    }

    post(Client(), event(data={"object": subject}), cookie="sid=1", authorization="Bearer x")

    row = InboxEvent.objects.get()
    kept = json.dumps([row.payload, row.headers], ensure_ascii=False)
    for personal in ("Nguyễn", "minh@", "+84", "sid=1", "Bearer"):
        assert personal not in kept


class Unread(io.RawIOBase):
    """A body that fails the test when somebody reads of it more than allowed."""

    def __init__(self, allowed):
        self.left = allowed

    def read(self, size=-1):
        assert 0 <= size <= self.left, "more was read than may be stored"
        self.left -= size
        return b"x" * size


@pytest.mark.parametrize(
    ("length", "allowed"), [("1048577", 0), ("999999999999999999", 0), ("1048576", 1_048_576)]
)
def test_of_a_large_body_nothing_is_read_beyond_what_may_be_stored(length, allowed):
    """A13: by what it claims; of what claims to fit no more than that."""
    request = RequestFactory().post(WEBHOOK, content_type="application/json")
    environ = request.META | {"CONTENT_LENGTH": length, "wsgi.input": Unread(allowed)}

    answer = inbox.receive(WSGIRequest(environ))

    assert answer.status_code == (400 if allowed else 413)
    assert not InboxEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_event_that_met_no_database_is_stored_when_stripe_brings_it_again(monkeypatch):
    """A28, with nobody at the address of PostgreSQL."""
    body = json.dumps(event()).encode()
    with monkeypatch.context() as away:
        connection.close()
        away.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        away.setitem(connection.settings_dict, "PORT", "9")
        first = post(Client(), body)
        connection.close()

    second = post(Client(), body)

    assert (first.status_code, first["Retry-After"]) == (503, "10")
    assert second.status_code == 200
    assert InboxEvent.objects.count() == 1


def test_while_the_database_is_away_stripe_is_asked_to_come_again(monkeypatch):
    def unreachable(*args, **kwargs):
        raise OperationalError("connection refused")

    monkeypatch.setattr(InboxEvent.objects, "bulk_create", unreachable)

    answer = post(Client(), event())

    assert (answer.status_code, answer["Retry-After"]) == (503, "10")


def test_a_flood_of_junk_is_slowed_but_a_good_signature_still_passes(monkeypatch):
    monkeypatch.setattr(inbox, "_junk", inbox._JunkCounter(limit=5))
    client = Client()

    junk = [client.post(WEBHOOK, data=b"x", content_type="text/plain") for _ in range(10)]

    assert {answer.status_code for answer in junk[:5]} == {400}
    assert {answer.status_code for answer in junk[5:]} == {429}
    assert post(client, event()).status_code == 200


def test_getting_the_webhook_is_not_allowed():
    assert Client().get(WEBHOOK).status_code == 405
