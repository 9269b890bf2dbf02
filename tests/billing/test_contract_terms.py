"""What people may agree to by hand: the catalogue names the terms, and refuses others by field."""

import pytest
from django.core.management import CommandError, call_command

from billing import catalog
from billing.catalog.apply import apply
from billing.entitlement import contracts as by_hand
from billing.entitlement import store
from billing.exceptions import ContractTermsRefused
from billing.gateway import stripe_api
from billing.models import Grant, Source
from billing.subscription import contracts as at_stripe
from billing.subscription.contracts import Agreement
from orgs.audit import Actor, ActorKind
from orgs.exceptions import Unprocessable
from orgs.models import AuditEntry
from tests.billing.subscribed import on_pro
from tests.factories.orgs import OrganizationFactory

pytestmark = pytest.mark.django_db

SALES = Actor(kind=ActorKind.SYSTEM, label="sales")


@pytest.fixture(autouse=True)
def product(settings):
    settings.CATALOG = "containers"


def grant(**changes):
    return Grant(**({"source": Source.CONTRACT, "plan_key": "enterprise", "reason": "x"} | changes))


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("plan_key", {"plan_key": "no-such"}),
        ("reason", {"reason": "  "}),
        ("source", {"source": Source.TRIAL}),
        ("limits", {"limits": {"no-such": 1}}),
        ("net_days", {"terms": {"net_days": 45}}),
    ],
)
def test_a_grant_that_the_catalogue_does_not_allow_is_refused_by_its_field(field, wrong):
    by_hand.check(grant(terms={"net_days": 30, "purchase_order": "PO-1"}))

    with pytest.raises(Unprocessable) as refused:
        by_hand.check(grant(**wrong))

    assert refused.value.extra["field"] == field


def test_a_purchase_order_needs_a_catalogue_that_takes_them(settings, catalog_file):
    catalog_file.path.write_text(
        catalog_file.path.read_text(encoding="utf-8") + "\n[contracts]\npurchase_orders = false\n",
        encoding="utf-8",
    )
    settings.CATALOG = catalog_file.name
    agreed = Agreement(plan_key="enterprise", purchase_order="PO-1")

    with pytest.raises(Unprocessable) as refused:
        by_hand.check(grant(terms={"purchase_order": "PO-1"}))
    with pytest.raises(ContractTermsRefused) as never:
        at_stripe.agree(OrganizationFactory.create(), agreed, actor=SALES)

    assert refused.value.extra["field"] == never.value.extra["field"] == "purchase_order"


def test_limits_and_documents_are_read_as_people_type_them():
    limits = by_hand.limits_from('\n containers = 40 \n memory = "16 GB"\nagents=unlimited\n')
    papers = by_hand.documents_from("Master agreement https://example.com/msa\nhttps://x.example\n")

    assert limits == {"containers": 40, "memory": 16 * 2**30, "agents": None}
    assert [(one.title, one.url) for one in papers] == [
        ("Master agreement", "https://example.com/msa"),
        ("https://x.example", "https://x.example"),
    ]


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (by_hand.limits_from, "no-such = 4"),
        (by_hand.limits_from, "containers = many"),
        (by_hand.limits_from, "containers"),
        (by_hand.documents_from, "MSA http://example.com/msa"),
        (by_hand.documents_from, "MSA javascript:alert(1)"),
    ],
)
def test_what_cannot_be_read_is_refused(read, text):
    with pytest.raises(Unprocessable):
        read(text)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("net_days", {"net_days": 7}),
        ("purchase_order", {"purchase_order": "P" * 31}),
        ("documents", {"documents": {"NDA": "https://example.com/nda"}}),
        ("documents", {"documents": {"MSA": "http://example.com/msa"}}),
    ],
)
def test_terms_that_are_not_offered_never_reach_stripe(field, wrong):
    team = OrganizationFactory.create()

    with pytest.raises(ContractTermsRefused) as refused:
        at_stripe.agree(team, Agreement(plan_key="enterprise", **wrong), actor=SALES)

    assert refused.value.extra["field"] == field
    assert not hasattr(team, "billing_account") or not team.billing_account.stripe_customer_id


def test_who_pays_by_card_already_keeps_one_subscription_under_the_contract(stripe, settings):
    apply(catalog.current(), stripe_api, {})
    team = on_pro(stripe)
    agreed = Agreement(plan_key="enterprise", seats=1, country="US", postal_code="94107")

    at_stripe.agree(team, agreed, actor=SALES)

    [subscription] = stripe.simulator.state("subscription")
    assert (subscription["collection_method"], subscription["days_until_due"]) == (
        "send_invoice",
        30,
    )
    assert store.current(team).plan.key == "enterprise"
    assert AuditEntry.objects.get(action="billing.contract_agreed").actor_label == "sales"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("no-such", "enterprise"), "no organization no-such"),
        (("acme", "enterprise", "--document", "MSA"), "NAME=LINK"),
        (("acme", "enterprise", "--net-days", "7"), "due after 30 days"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, said):
    OrganizationFactory.create(slug="acme")

    with pytest.raises(CommandError, match=said):
        call_command("contract", *arguments)
