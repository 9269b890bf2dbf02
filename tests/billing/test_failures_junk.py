"""A thousand posts that no Stripe ever sent: no row, no answer of ours that is an error (A14)."""

import json
import random
import time

import pytest
from django.test import Client

from billing.gateway.webhooks import inbox
from billing.models import InboxEvent
from tests.billing.stripe_events import WEBHOOK, signature

POSTS = 1_000
YEAR = 365 * 86_400
EVENT = json.dumps(
    {
        "id": "evt_junk",
        "object": "event",
        "type": "customer.updated",
        "livemode": False,
        "data": {"object": {"id": "cus_junk", "object": "customer"}},
    }
).encode()

BODIES = {
    "nothing": b"",
    "text": b"hello",
    "an event": EVENT,
    "NUL": b'{"id": "evt_\x00"}',
    "scalar": b"42",
    "deep nesting": b"[" * 50_000 + b"]" * 50_000,
    "deep objects": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "lone surrogate": b'{"id": "\\ud800"}',
    "not UTF-8": b"\xff\xfe\x00\x01",
    "a huge number": b"9" * 5_000,
    "three megabytes": b"x" * 3_000_000,
}


def _unsigned(_body):
    return {}


def _badly_signed(body):
    return {"stripe-signature": signature(body, "whsec_guessed")}


def _nonsense(_body):
    return {"stripe-signature": "t=,v1=;,=,t=1e9,v1=\u00e9"}


def _from_next_year(body):
    return {"stripe-signature": signature(body, at=time.time() + YEAR)}


def _from_last_year(body):
    return {"stripe-signature": signature(body, at=time.time() - YEAR)}


def _long(_body):
    return {"stripe-signature": "v1=" + "0" * 60_000}


def _through_a_strange_proxy(body):
    return _badly_signed(body) | {"x-forwarded-for": "unknown, not-an-ip, " + "9" * 5_000}


def _with_a_secret_of_their_own(body):
    header = signature(body, "whsec_theirs")
    return {"stripe-signature": header, "x-djstripe-webhook-secret": "whsec_theirs"}


HEADERS = [
    _unsigned, _badly_signed, _nonsense, _from_next_year, _from_last_year, _long,
    _through_a_strange_proxy, _with_a_secret_of_their_own,
]  # fmt: skip
TYPES = ["application/json", "text/plain", "multipart/form-data", "", "application/json; charset=x"]


@pytest.mark.django_db
@pytest.mark.parametrize("limit", [600, 10_000], ids=["as in production", "without a limit"])
def test_a_thousand_junk_posts_leave_no_trace_and_break_nothing(monkeypatch, report, limit):
    monkeypatch.setattr(inbox, "_junk", inbox._JunkCounter(limit=limit))
    client = Client(raise_request_exception=False)
    chance = random.Random(14)  # noqa: S311 (a repeatable choice is wanted)
    names = [name for name in BODIES if name != "three megabytes"] * 100 + ["three megabytes"] * 30
    started = time.monotonic()

    answers = [_post(client, chance, BODIES[chance.choice(names)]) for _ in range(POSTS)]

    assert set(answers) <= {400, 413, 429}
    assert not InboxEvent.objects.exists()
    report(f"junk: {POSTS / (time.monotonic() - started):.0f} posts a second refused")


def _post(client, chance, body):
    headers = chance.choice(HEADERS)(body)
    kind = chance.choice(TYPES)
    return client.generic("POST", WEBHOOK, body, content_type=kind, headers=headers).status_code
