"""`/readyz` says which part cannot do its work; `/healthz` only that this process answers (H5)."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from billing.insight import pulse
from billing.models import InboxEvent, OutboxMessage, Pulse
from quotas.engine import counters

pytestmark = pytest.mark.django_db


def ready():
    answer = Client().get("/readyz")
    return answer.status_code, answer.json()


def test_a_process_that_answers_is_healthy():
    answer = Client().get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_probe_from_inside_names_no_host_and_speaks_no_tls(settings):
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["billing.example.com"], True
    inside = {"host": "10.4.0.7:8000"}

    answers = [Client().get(path, headers=inside).status_code for path in ("/healthz", "/readyz")]

    assert answers == [200, 200]


def test_everything_up_is_ready():
    pulse.mark(pulse.BEAT)

    status, body = ready()

    assert status == 200
    parts = ("postgresql", "inbox", "outbox", "beat", "redis")
    assert body["parts"] == dict.fromkeys(parts, "ok")


def test_before_the_first_beat_it_is_starting_and_ready():
    status, body = ready()

    assert (status, body["parts"]["beat"]) == (200, "starting")


def test_a_silent_beat_makes_it_unready():
    Pulse.objects.create(name=pulse.BEAT, at=timezone.now() - timedelta(minutes=4))

    status, body = ready()

    assert (status, body["parts"]["beat"]) == (503, "silent")


def test_an_event_that_waits_for_long_makes_it_unready():
    InboxEvent.objects.create(
        event_id="evt_old",
        type="customer.updated",
        livemode=False,
        payload={},
        received_at=timezone.now() - timedelta(minutes=6),
    )

    status, body = ready()

    assert (status, body["parts"]["inbox"]) == (503, "stuck")


def test_mail_that_nobody_sends_makes_it_degraded_and_still_ready():
    message = OutboxMessage.objects.create(kind="mail.receipt", once_per="1")
    OutboxMessage.objects.update(next_attempt_at=timezone.now() - timedelta(minutes=4))
    assert ready()[1]["status"] == "ok"
    OutboxMessage.objects.update(next_attempt_at=timezone.now() - timedelta(minutes=6))

    status, body = ready()

    assert (status, body["status"], body["parts"]["outbox"]) == (200, "degraded", "late")
    OutboxMessage.objects.filter(pk=message.pk).update(state=OutboxMessage.State.SENT)
    assert ready()[1]["status"] == "ok"


def test_without_redis_it_is_degraded_and_still_ready(monkeypatch):
    monkeypatch.setattr(counters, "is_alive", lambda: False)

    status, body = ready()

    assert (status, body["status"], body["parts"]["redis"]) == (200, "degraded", "degraded")


def test_without_postgresql_it_is_unready(monkeypatch):
    def refuse(*args, **kwargs):
        raise OperationalError("the database system is shutting down")

    monkeypatch.setattr(connection, "cursor", refuse)

    status, body = ready()

    assert (status, body["parts"]["postgresql"]) == (503, "down")
