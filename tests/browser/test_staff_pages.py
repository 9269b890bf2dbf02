"""The pages of operations inside the admin: axe, light, dark and on a phone."""

import pytest
from django.urls import reverse

from billing import evidence
from billing.evidence import Attachment
from billing.models import Evidence
from quotas import enforcement_modes
from quotas.enforcement_modes import Order
from quotas.engine import enforcement
from quotas.models import UsageLimit
from tests.billing.selling import pays, put_on_sale, unpaid
from tests.factories.orgs import OrganizationFactory, UserFactory
from tests.factories.quotas import limited

PAGES = (
    "enforcement-modes", "observe-report", "preflight", "what-if", "publish-catalogue", "numbers",
    "leads",
)  # fmt: skip


@pytest.fixture
def operations(transactional_db, settings, stripe_simulator, redis_server):
    """Something to show on every page, and somebody who may see it."""
    settings.ADMIN_REQUIRES_MFA = False
    put_on_sale()
    acme = OrganizationFactory.create(slug="acme")
    pays(acme)
    unpaid(acme)
    limited(acme, storage={"amount": 5, "enforcement": "observe"})
    enforcement.consume(acme, "storage", 9, idempotency_key="a")
    UsageLimit.objects.filter(organization=acme).update(refusal="")
    found = evidence.attach(Attachment(link="https://example.com/qa"), author=None)
    staff = UserFactory.create(is_staff=True, is_superuser=True)
    order = Order(mode="enforce", reason="ready", evidence=found, subject="ai_queries")
    enforcement_modes.switch(order, actor=staff)
    enforcement_modes.undo(enforcement_modes.switch(order, actor=staff), actor=staff)
    report = {
        "findings": [
            {"name": name, "outcome": name, "said": "so", "hint": "do this"}
            for name in ("ok", "warning", "failed", "skipped")
        ]
    }
    for kind in (Evidence.Kind.DOCTOR, Evidence.Kind.SMOKE):
        evidence.store(kind, passed=False, summary="1 failed", report=report)
    return staff


@pytest.mark.verify
def test_the_pages_of_operations_are_accessible_in_every_look(visitor, operations):
    visitor.sign_in(operations)
    for name in PAGES:
        visitor.page.goto(reverse(f"admin:{name}"))
        visitor.look(f"staff-{name}")

    visitor.page.goto(reverse("admin:what-if"))
    source = visitor.page.get_by_label("Catalogue, as TOML")
    price = "month.usd = { amount = "
    source.fill(source.input_value().replace(f"{price}600", f"{price}900"))
    visitor.press("Ask")
    visitor.reads("Would pay more")
    visitor.look("staff-what-if-answer")
