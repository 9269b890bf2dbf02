"""The search for what must not be stored can find it, wherever it hides."""

import json
import logging

import pytest
from django.core import mail
from django.core.cache import cache

from billing import tasks
from billing.models import InboxEvent
from orgs.sessions import SessionStore
from tests.architecture import canary

pytestmark = pytest.mark.django_db
NEEDLE = "canary in a yellow cage"


def test_the_search_finds_a_canary_in_every_kind_of_place(redis_server):
    payload = {"deep": [{"key": NEEDLE.upper()}]}
    InboxEvent.objects.create(event_id="evt_x", type="x", livemode=False, payload=payload)
    cache.set("form", {"typed": NEEDLE})
    session = SessionStore()
    session["note"] = NEEDLE * 9  # long enough to be packed
    session.save()
    redis_server.hset("quota:{x}", "field", NEEDLE)
    redis_server.lpush("list", json.dumps({"a": NEEDLE.upper()}))
    mail.send_mail("Hello", f"Your card is {NEEDLE}.", "a@example.com", ["b@example.com"])
    with canary.watching() as watched:
        logging.getLogger("anything").debug("charged %s", NEEDLE)
        tasks.process_customer.apply(args=(NEEDLE,))

    found = canary.hits([NEEDLE], besides=watched.places())

    assert found == [
        f"{NEEDLE} in {where}"
        for where in (
            "billing_inboxevent.payload",
            "django_cache.value",
            "log",
            "mail to b@example.com",
            "orgs_session.session_data",
            "redis list",
            "redis quota:{x}",
            "task billing.tasks.process_customer",
        )
    ]


def test_the_search_finds_nothing_where_nothing_is(redis_server):
    with canary.watching() as watched:
        InboxEvent.objects.create(event_id="evt_x", type="x", livemode=False, payload={})

    assert canary.hits([NEEDLE], besides=watched.places()) == []
