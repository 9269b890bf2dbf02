"""An applied catalogue reaches organizations that already have a plan."""

import pytest

from billing import tasks
from billing.entitlement import store
from billing.models import PlanLimit
from billing.signals import catalog_applied
from quotas.models import UsageLimit
from tests.factories.orgs import OrganizationFactory

pytestmark = pytest.mark.django_db


def test_a_changed_limit_applies_to_those_who_have_the_plan(published):
    organization = OrganizationFactory.create()
    store.current(organization)
    PlanLimit.objects.filter(plan__key="hobby", meter="storage").update(amount=7)

    tasks.refresh_entitlements()

    assert UsageLimit.objects.get(organization=organization, meter="storage").amount == 7


def test_applying_a_catalogue_asks_the_worker_to_refresh(
    published, monkeypatch, django_capture_on_commit_callbacks
):
    asked = []
    monkeypatch.setattr(
        tasks.refresh_entitlements, "apply_async", lambda args, **how: asked.append(args)
    )

    with django_capture_on_commit_callbacks(execute=True):
        catalog_applied.send(None, catalog="any", plans=frozenset({1}))

    assert asked == [()]
