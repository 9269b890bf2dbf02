"""What holds for all code and all answers, and no single feature would test."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import hashers
from django.test import Client

from config import settings as production
from tests.architecture import canary
from tests.factories.orgs import PASSWORD, UserFactory

ROOT = Path(__file__).resolve().parents[2]
APPS = ("orgs", "billing", "quotas", "config")
RUN_TEXT = {"eval", "exec", "compile", "__import__"}
READ_OBJECTS = {"pickle", "marshal", "shelve", "yaml", "xml", "lxml"}
WEAK = {"hashlib.md5", "hashlib.sha1", "random.random", "random.choice", "random.randint"}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """File and line, the name that is called, and the call."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield where, ast.unparse(node.func), node


def sources() -> list[Path]:
    return [path for app in APPS for path in (ROOT / app).rglob("*.py")]


def imported() -> Iterator[tuple[str, str]]:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                yield str(path), (node.module or "").partition(".")[0]
            elif isinstance(node, ast.Import):
                yield from ((str(path), alias.name.partition(".")[0]) for alias in node.names)


def test_no_app_runs_commands_or_code_made_of_text():
    wrong = [where for where, name, _call in calls() if name in RUN_TEXT]
    wrong += [
        where
        for where, name, call in calls()
        if name in {"os.system", "os.popen", "Template", "engines.from_string"}
        or any(word.arg == "shell" for word in call.keywords)
    ]
    wrong += [path for path, name in imported() if name in READ_OBJECTS]
    wrong += [
        where
        for where, name, call in calls()
        if name in {"re.compile", "re.search", "re.match", "re.sub", "re.findall", "re.fullmatch"}
        and not isinstance(call.args[0], (ast.Constant, ast.JoinedStr))
        and not ast.unparse(call.args[0]).isupper()
    ]

    assert wrong == []


def test_no_weak_hash_and_no_weak_random_is_used():
    """Redis names scripts by SHA-1; the satellite's client makes amounts for a demonstration."""
    weak = [
        where
        for where, name, call in calls()
        if name in WEAK and "usedforsecurity=False" not in ast.unparse(call)
    ]

    assert [where for where in weak if not where.startswith("quotas/client.py")] == []


def test_headers_that_move_a_page_are_made_of_our_own_paths():
    """htmx obeys them (E16); the one place that sends any leads to the login."""
    moving = re.compile(r"HttpResponse(?:Client|Location)|HX-(?:Redirect|Location|Trigger|Push)")
    found = {str(path.relative_to(ROOT)) for path in sources() if moving.search(path.read_text())}

    assert found == {"orgs/middleware.py"}


def test_passwords_are_hashed_slowly_in_production():
    assert not hasattr(production, "PASSWORD_HASHERS")
    assert hashers.PBKDF2PasswordHasher.iterations >= 600_000


@pytest.mark.django_db
def test_cookies_of_a_session_are_for_the_server_alone():
    client, user = Client(), UserFactory.create()
    client.get("/accounts/login/")

    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})

    session, token = client.cookies[settings.SESSION_COOKIE_NAME], client.cookies["csrftoken"]
    assert (session["httponly"], session["samesite"], token["samesite"]) == (True, "Lax", "Lax")
    assert session["domain"] == ""
    assert 0 < session["max-age"] <= 14 * 24 * 3600


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/accounts/login/", "/api/docs/", "/api/v1/usage/check"])
def test_no_answer_is_for_other_origins(client, path):
    origin = {"origin": "https://evil.example", "access-control-request-method": "POST"}

    answers = [client.get(path, headers=origin), client.options(path, headers=origin)]

    names = {name.lower() for answer in answers for name in answer.headers}
    assert not [name for name in names if name.startswith("access-control-")]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/healthz", "/accounts/login/", "/api/v1/usage/consume"])
def test_trace_is_not_answered(client, path):
    answer = client.trace(path)

    assert answer.status_code in {401, 405}
    assert b"TRACE" not in answer.content


def lines_about(path: str, watched: canary.Watched) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in watched.lines]
    return [record for record in records if record.get("request", "").endswith(path)]


@pytest.mark.django_db
def test_the_address_in_the_logs_is_the_one_that_throttles_count_by(client):
    with canary.watching() as watched:
        client.get("/no/such/page", headers={"x-forwarded-for": "203.0.113.7"})

    found = lines_about("GET /no/such/page", watched)
    assert {line["ip"] for line in found} == {"127.0.0.1"}


@pytest.mark.django_db
def test_a_refusal_is_logged_with_its_request():
    client = Client(enforce_csrf_checks=True)
    with canary.watching() as watched:
        forged = client.post("/accounts/login/")
        nobody = client.get("/api/v1/billing/status")

    [line] = [each for each in lines_about("POST /accounts/login/", watched) if "code" in each]
    [other] = [each for each in lines_about("/billing/status", watched) if "code" in each]
    assert (line["code"], other["code"]) == (403, 401)
    assert line["request_id"] == forged["X-Request-Id"]
    assert other["request_id"] == nobody["X-Request-Id"]


def test_logs_go_to_one_place():
    handlers = settings.LOGGING["handlers"]

    assert {name: each["class"] for name, each in handlers.items()} == {
        "console": "logging.StreamHandler"
    }
