"""The verbs inside our own process: decorators, permissions, validators."""

from types import SimpleNamespace
from typing import Any

import pytest
from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.test import RequestFactory
from rest_framework.views import APIView

from billing import catalog
from billing.catalog.apply import apply
from billing.entitlement import store
from billing.models import Grant, Source
from quotas.decorators import consumes, requires_feature
from quotas.exceptions import FeatureUnavailable, QuotaExceeded
from quotas.models import Balance
from quotas.permissions import feature, within_quota
from quotas.validators import WithinQuota
from tests.factories.orgs import OrganizationFactory, owner_of
from tests.factories.quotas import limited

pytestmark = pytest.mark.django_db

STORAGE, QUERIES = "storage", "ai_queries"


@pytest.fixture
def on_sale(db):
    apply(catalog.current(), None, {})


def asking(organization, **headers):
    request: Any = RequestFactory(headers=headers).post("/")
    request.organization = organization
    request.user = owner_of(organization)
    request.membership = organization.memberships.get()
    return request


def answering(status=200):
    return lambda request: HttpResponse(status=status)


@pytest.mark.usefixtures("on_sale")
def test_a_feature_of_the_plan_opens_a_view():
    organization = OrganizationFactory.create()
    view = requires_feature("audit_log")(answering())
    with pytest.raises(FeatureUnavailable, match="Audit log"):
        view(asking(organization))

    Grant.objects.create(
        organization=organization, source=Source.MANUAL, plan_key="pro", reason="a test"
    )
    store.rederive(organization, cause="test")

    assert view(asking(organization)).status_code == 200


def test_a_view_that_consumes_counts_once_per_key():
    organization = limited(ai_queries=10)
    view = consumes(QUERIES, 2)(answering())

    for _ in range(2):
        view(asking(organization, **{"idempotency-key": "form"}))

    assert Balance.objects.get().used == 2


def test_a_view_that_consumes_is_refused_at_the_limit():
    organization = limited(storage=10)
    view = consumes(STORAGE, lambda request: 11)(answering())

    with pytest.raises(QuotaExceeded):
        view(asking(organization))

    assert not Balance.objects.filter(used__gt=0).exists()


def test_a_view_that_fails_has_consumed_nothing():
    organization = limited(ai_queries=10)
    view = consumes(QUERIES)(answering(400))

    view(asking(organization))

    assert not Balance.objects.filter(used__gt=0).exists()


@pytest.mark.usefixtures("on_sale")
def test_permissions_ask_for_the_organization_that_the_call_names():
    organization = OrganizationFactory.create()
    request = asking(organization)
    request.GET = {"organization": organization.slug}

    assert within_quota(QUERIES)().has_permission(request, APIView())
    with pytest.raises(FeatureUnavailable):
        feature("sso")().has_permission(request, APIView())


def test_a_form_refuses_what_does_not_fit():
    organization = limited(storage=10)

    class Upload(forms.Form):
        size = forms.IntegerField(validators=[WithinQuota(organization, STORAGE)])

    assert Upload({"size": 10}).is_valid()
    assert "too much" in str(Upload({"size": 11}).errors)


def test_a_file_is_judged_by_its_size():
    organization = limited(storage=10)
    validate = WithinQuota(organization, STORAGE)

    validate(SimpleNamespace(size=0))
    with pytest.raises(ValidationError):
        validate(SimpleNamespace(size=11))
