"""The OpenAPI document of the usage calls against the calls themselves.

Whatever it allows is sent, and much that it forbids; no answer may be a 500, have a status that it
does not name or a body that it does not describe, and nothing that it forbids may be accepted.
"""

import os
from collections import Counter
from functools import cache
from http import HTTPStatus
from uuid import uuid4

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import given
from hypothesis import strategies as st

from billing import catalog
from billing.catalog.apply import apply
from config.problems import problem
from quotas import hot_path
from quotas.engine import enforcement
from quotas.models import Satellite
from quotas.satellites import issue_token
from tests.exploring import CHECKS, so_many, strategies
from tests.factories.orgs import OrganizationFactory
from tests.factories.quotas import SatelliteFactory
from tests.quotas.api import FRONTS, the_loop

pytestmark = pytest.mark.usefixtures("durable")

SHORT = 30
LONG = int(os.environ.get("SCHEMA_EXAMPLES", "1000"))
LONGEST_NAME = 64
SLUG = "ha-long"


OPERATIONS = (
    "POST /api/v1/usage/check",
    "POST /api/v1/usage/authorize",
    "POST /api/v1/usage/consume",
    "POST /api/v1/usage/record",
    "POST /api/v1/usage/release",
    "PUT /api/v1/usage/level",
    "POST /api/v1/usage/reservations",
    "POST /api/v1/usage/reservations/{reservation}/commit",
    "POST /api/v1/usage/reservations/{reservation}/void",
    "POST /api/v1/usage/batch",
    "GET /api/v1/organizations/{organization}/entitlements",
    "GET /api/v1/organizations/{organization}/usage",
    "GET /api/v1/organizations/{organization}/features/{feature}",
)


def application(front):
    if front == "event loop":
        return from_the_loop
    django = get_wsgi_application()
    return django if front == "django" else hot_path.in_front_of(django, problem)


def from_the_loop(environ, start_response):
    """WSGI in front of the event loop, because the explorer speaks nothing else."""
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name == "CONTENT_TYPE"
    }
    answer = the_loop().ask(
        environ["REQUEST_METHOD"],
        environ["PATH_INFO"].encode("latin-1").decode(errors="replace"),
        environ["QUERY_STRING"],
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)),
        headers,
    )
    start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", [*answer.headers.items()])
    return [answer.content]


@pytest.fixture
def team():
    apply(catalog.current(), None, {})
    return OrganizationFactory.create(slug=SLUG)


@pytest.fixture
def bearer(team):
    satellite = SatelliteFactory.create()
    _token, secret = issue_token(satellite)
    return {"Authorization": f"Bearer {secret}"}


@cache
def document(front):
    return schemathesis.openapi.from_wsgi("/api/schema/", application(front))


def explore(name, team, bearer, *, examples, front):
    """Half of the examples are what the document allows, the others what it forbids."""
    method, path = name.split()
    operation = document(front)[path][method]
    answered = []

    @so_many(examples)
    @given(case=st.one_of(*strategies(operation)), aimed=st.integers(0, 9))
    def ask(case, aimed):
        if aimed:
            aim(case, team)
        response = case.call_and_validate(headers=bearer, checks=CHECKS)
        answered.append(response.status_code)

    ask()
    return answered


def aim(case, team):
    """What exists in place of random names, so that more than 404 is heard. What is wrong by the
    document stays wrong."""
    found = case.path_parameters or {}
    if "organization" in found:
        found["organization"] = SLUG
    if "reservation" in found:
        hold = enforcement.reserve(
            team,
            "ai_queries",
            5,
            idempotency_key=uuid4().hex,
            satellite=Satellite.objects.get().pk,
        )
        found["reservation"] = hold.id
    _name(case.body)


def _name(body):
    if not isinstance(body, dict):
        return
    for field, real in (("organization", SLUG), ("meter", "ai_queries")):
        if isinstance(body.get(field), str) and 0 < len(body[field]) <= LONGEST_NAME:
            body[field] = real
    for inner in ("lines", "events"):
        if isinstance(body.get(inner), list):
            for each in body[inner]:
                _name(each)


def test_the_document_and_the_calls_agree(team, bearer):
    for operation in OPERATIONS:
        answered = explore(operation, team, bearer, examples=SHORT, front="event loop")
        assert len(answered) >= SHORT


@pytest.mark.verify
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_they_agree_in_a_thousand_examples(operation, front, team, bearer, report):
    answered = explore(operation, team, bearer, examples=LONG, front=front)

    report(f"{operation}: {len(answered)} examples, {dict(Counter(answered))}")
    assert len(answered) >= LONG


def test_every_usage_call_of_the_document_is_tried():
    schema = document("django")
    known = {
        f"{method.upper()} {path}"
        for path in schema
        for method, operation in schema[path].items()
        if "usage" in (operation.tags or [])
    }

    assert known == set(OPERATIONS)
