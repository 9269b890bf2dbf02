"""What every answer says to a browser, errors and answers without Django included."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import DatabaseError
from django.test import Client

from config import health
from config.threads import LARGEST_BODY, Threads
from orgs.headers import without_a_page
from quotas import hot_path

STRICT = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
FORM = "application/x-www-form-urlencoded"
TOO_LARGE = b"x" * (configured.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)


def test_every_error_and_every_redirect_is_as_strict_as_a_page(world, monkeypatch):
    page = "/o/own/settings/members/"
    client = world.client("owner")
    guarded = Client(enforce_csrf_checks=True)

    def broken(*_arguments: Any, **_named: Any) -> None:
        raise DatabaseError("as a bug would")

    monkeypatch.setattr(health, "_postgresql", lambda: "down")
    answers = [
        (200, client.get(page, secure=True)),
        (302, Client().get(page, secure=True)),
        (400, client.get("/", secure=True, headers={"host": "evil.example"})),
        (400, client.post("/webhooks/stripe", b"{}", content_type="application/json", secure=True)),
        (401, Client().get("/api/v1/billing/status", secure=True)),
        (403, guarded.post("/accounts/login/", secure=True)),
        (404, client.get("/no/such/page", secure=True)),
        (404, client.get("/static/no-such-file.css", secure=True)),
        (404, client.get("/o/nobody/settings/members/", secure=True)),
        (405, client.get("/preferences/theme/", secure=True)),
        (413, client.post("/webhooks/stripe", TOO_LARGE, content_type=FORM, secure=True)),
        (413, client.post("/profile/", TOO_LARGE, content_type=FORM, secure=True)),
        (503, client.get("/readyz", secure=True)),
    ]
    monkeypatch.setattr("orgs.views.members.render", broken)
    answers.append((500, client.get(page, secure=True)))

    assert [answer.status_code for _status, answer in answers] == [each for each, _ in answers]
    assert [weak for _status, answer in answers if (weak := weakness_of(answer.headers))] == []


@pytest.mark.django_db
def test_plain_http_is_sent_to_https_and_a_strange_host_nowhere(settings):
    settings.SECURE_SSL_REDIRECT = True
    client = Client()

    sent_on = client.get("/accounts/login/?next=/")
    strange = client.get("/", headers={"host": "evil.example"})

    assert (sent_on.status_code, sent_on["Location"][:19]) == (301, "https://testserver/")
    assert strange.status_code == 400
    hsts = {"Strict-Transport-Security"}
    assert weakness_of(sent_on.headers).keys() | weakness_of(strange.headers).keys() == hsts


@pytest.mark.django_db
def test_what_is_served_to_everybody_may_be_kept_and_is_strict_all_the_same(client):
    response = client.get("/static/css/app.css", secure=True)
    response.getvalue()
    response.close()

    assert "public" in response["Cache-Control"]
    assert weakness_of(response.headers).keys() == {"Cache-Control"}


def test_answers_that_no_middleware_sees_are_as_strict(settings):
    settings.SECURE_SSL_REDIRECT = True

    assert weakness_of(dict(without_a_page())) == {}
    assert dict(hot_path.OK).keys() >= dict(without_a_page()).keys() - {"Strict-Transport-Security"}


@dataclass
class Exchange:
    """The server's side of a request whose body is too large, or whose answer fails."""

    length: int
    method: str = "POST"
    path: str = "/"
    query_string: str = ""
    scheme: str = "https"
    server: str = "testserver:443"
    client: str = "127.0.0.1:50000"
    http_version: str = "1.1"
    authority: str | None = None
    answered: list[Any] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        return {"content-length": str(self.length)}

    async def __call__(self) -> bytes:
        return b"x" * self.length

    def response_bytes(self, status: int, headers: Any, body: bytes) -> None:
        self.answered.append((status, dict(headers), body))


@pytest.mark.parametrize(("length", "status"), [(LARGEST_BODY + 1, 413), (1, 500)])
def test_what_the_server_answers_by_itself_is_as_strict(length, status):
    def fails(*_arguments: Any) -> Any:
        raise RuntimeError("as a bug would")

    threads, exchange = Threads(fails, 1), Exchange(length)
    scope: Any = exchange

    # A browser's tests may have left a loop in this thread.
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(asyncio.run, threads.serve(scope, scope)).result()
    threads.stop()

    [(answered, headers, body)] = exchange.answered
    assert answered == status
    assert weakness_of(headers).keys() == {"Strict-Transport-Security"}
    assert b"RuntimeError" not in body


def weakness_of(headers: Any) -> dict[str, str]:
    """The headers that say less than they should, with what they say."""
    found = {
        name: headers.get(name, "") for name, value in STRICT.items() if headers.get(name) != value
    }
    policy = headers.get("Content-Security-Policy", "")
    if "default-src" not in policy or "frame-ancestors 'none'" not in policy or "unsafe" in policy:
        found["Content-Security-Policy"] = policy
    if "no-store" not in headers.get("Cache-Control", ""):
        found["Cache-Control"] = headers.get("Cache-Control", "")
    if "max-age=31536000" not in headers.get("Strict-Transport-Security", ""):
        found["Strict-Transport-Security"] = headers.get("Strict-Transport-Security", "")
    return found
