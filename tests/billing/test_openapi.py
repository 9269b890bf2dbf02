"""The OpenAPI document of people's calls against the calls themselves, as in quotas.

Its organization pays by a subscription at the simulator. What an example does to our rows is
undone after it, and Stripe is as before after every few.
"""

import os
from collections import Counter
from contextlib import contextmanager
from functools import cache

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import given
from hypothesis import strategies as st

from billing import catalog
from orgs import organizations
from tests.exploring import CHECKS, so_many, strategies
from tests.factories.orgs import OrganizationFactory, api_token_for, owner_of

SHORT = 3
LONG = int(os.environ.get("SCHEMA_EXAMPLES", "1000"))
AFRESH = 40  # examples until Stripe is as before
SLUG = "ha-long"
SATELLITES = {"usage"}  # their calls are explored in quotas

OPERATIONS = (
    "GET /api/v1/billing/status",
    "GET /api/v1/billing/plans",
    "GET /api/v1/billing/invoices",
    "GET /api/v1/billing/packs",
    "POST /api/v1/billing/checkout",
    "POST /api/v1/billing/credits",
    "POST /api/v1/billing/portal",
    "POST /api/v1/billing/preview",
    "POST /api/v1/billing/change",
    "POST /api/v1/billing/cancel",
    "POST /api/v1/billing/keep",
    "POST /api/v1/billing/promo",
    "POST /api/v1/billing/trial",
    "POST /api/v1/billing/sync",
    "POST /api/subscriptions/upgrade",
    "GET /api/subscriptions/usage",
    "GET /api/v1/export",
    "POST /api/v1/export",
    "POST /api/v1/export/download",
)
REAL = {
    "organization": (SLUG,),
    "tier": ("pro", "pro", "hobby", "enterprise"),
    "currency": ("usd", "vnd"),
    "pack": ("ai_10k",),
    "seats": (1, 3, 7),
}


@contextmanager
def the_tests_own_connection():
    """A request ends with its connection; here it is the one that holds what the test made."""
    for signal in request_started, request_finished:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in request_started, request_finished:
            signal.connect(close_old_connections)


@pytest.fixture
def owner(stripe):
    """Who has paid for Pro."""
    organization = OrganizationFactory.create(slug=SLUG)
    stripe.buy(organization)
    stripe.deliver_all(organization)
    person = owner_of(organization)
    organizations.make_current(person, organization)
    return person


@cache
def document():
    return schemathesis.openapi.from_wsgi("/api/schema/", get_wsgi_application())


@the_tests_own_connection()
def explore(name, stripe, owner, *, examples):
    method, path = name.split()
    operation = document()[path][method]
    bearer = {"Authorization": f"Bearer {api_token_for(owner)}"}
    before = stripe.simulator.photograph()
    answered = []

    @so_many(examples)
    @given(case=st.one_of(*strategies(operation)), aimed=st.integers(0, 9), choice=st.randoms())
    def ask(case, aimed, choice):
        if aimed:
            aim(case, choice)
        with transaction.atomic():
            response = case.call_and_validate(headers=bearer, checks=CHECKS)
            answered.append(response.status_code)
            transaction.set_rollback(True)
        if len(answered) % AFRESH == 0:
            stripe.simulator.restore(before)

    ask()
    return answered


def aim(case, choice):
    """What exists in place of random names. What is wrong by the document stays wrong."""
    for part in (case.body, case.query):
        if isinstance(part, dict):
            for field, real in REAL.items():
                if type(part.get(field)) is type(real[0]) and is_allowed(field, part[field]):
                    part[field] = choice.choice(real)


def is_allowed(field, value):
    if field == "seats":
        return 1 <= value <= 100_000
    return len(value) == 3 if field == "currency" else 0 < len(value) <= 64


def test_the_document_and_peoples_calls_agree(stripe, owner):
    for operation in OPERATIONS:
        answered = explore(operation, stripe, owner, examples=SHORT)
        assert len(answered) >= SHORT


@pytest.mark.verify
@pytest.mark.parametrize("operation", OPERATIONS)
def test_they_agree_in_a_thousand_examples(operation, stripe, owner, report):
    answered = explore(operation, stripe, owner, examples=LONG)

    report(f"{operation}: {len(answered)} examples, {dict(Counter(answered))}")
    assert len(answered) >= LONG


@the_tests_own_connection()
def test_every_call_of_a_person_in_the_document_is_tried(published):
    schema = document()
    known = {
        f"{method.upper()} {path}"
        for path in schema
        for method, operation in schema[path].items()
        if SATELLITES.isdisjoint(operation.tags or [])
    }

    assert catalog.current().key == "suite"
    assert known == set(OPERATIONS)
