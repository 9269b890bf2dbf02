"""The audit trail: written with every act, never rewritten, read by those who may."""

import csv
import io
from typing import Any

import pytest
import structlog
from django.db import ProgrammingError, connection, transaction
from django.test import Client
from django.urls import reverse

from orgs import audit, members, organizations
from orgs.audit import Actor, ActorKind
from orgs.models import AuditEntry, Role
from tests.factories.orgs import MembershipFactory, OrganizationFactory, member_of, owner_of

pytestmark = pytest.mark.django_db


def execute(statement):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    "statement", ["UPDATE orgs_auditentry SET action = 'nothing'", "DELETE FROM orgs_auditentry"]
)
def test_the_database_refuses_to_rewrite_the_past(statement):
    organization = OrganizationFactory.create()
    before = list(AuditEntry.objects.order_by("pk").values())

    with pytest.raises(ProgrammingError, match="append-only"):
        execute(statement)

    assert list(AuditEntry.objects.order_by("pk").values()) == before
    assert AuditEntry.objects.filter(organization=organization).exists()


def test_the_database_refuses_to_empty_the_trail():
    """The test runner has switched this trigger off, to empty tables between tests."""
    execute("ALTER TABLE orgs_auditentry ENABLE TRIGGER audit_refuses_truncate")

    with pytest.raises(ProgrammingError, match="append-only: TRUNCATE refused"):
        execute("TRUNCATE orgs_auditentry")

    execute("ALTER TABLE orgs_auditentry DISABLE TRIGGER audit_refuses_truncate")


def test_an_act_is_written_down_with_who_what_before_and_after():
    organization = OrganizationFactory.create()
    owner = owner_of(organization)
    membership = MembershipFactory.create(organization=organization)

    with structlog.contextvars.bound_contextvars(request_id="req-1", acting_as="staff@example.com"):
        members.change_role(membership, Role.ADMIN, actor=owner)

    entry = AuditEntry.objects.get(organization=organization, action="member.role_changed")
    assert (entry.actor_kind, entry.actor_id, entry.actor_label) == (
        "person",
        str(owner.pk),
        owner.email,
    )
    assert (entry.target, entry.before, entry.after) == (
        membership.user.email,
        {"role": "member"},
        {"role": "admin"},
    )
    assert (entry.request_id, entry.acting_as) == ("req-1", "staff@example.com")


def test_an_act_that_is_undone_leaves_no_entry():
    organization = OrganizationFactory.create()
    owner = owner_of(organization)

    with pytest.raises(RuntimeError), transaction.atomic():
        rename_and_fail(organization, owner)

    assert not AuditEntry.objects.filter(action="organization.described").exists()


def test_the_page_filters_by_action_and_person():
    organization = OrganizationFactory.create()
    owner = owner_of(organization)
    organizations.rename(organization, "New name", actor=owner)
    audit.record(
        "member.invited", organization=organization, actor=member_of(organization), target="x"
    )

    by_action = page(owner, organization, action="organization.described")
    by_person = page(owner, organization, actor=owner.email)

    assert "organization.described" in by_action
    assert "member.invited" not in by_action
    assert "member.invited" not in by_person


def test_entries_about_money_are_for_those_who_see_billing():
    organization = OrganizationFactory.create()
    audit.record(
        "billing.refunded",
        organization=organization,
        actor=Actor(kind=ActorKind.STRIPE, id="evt_1", label="charge.refunded"),
    )

    owners = page(owner_of(organization), organization)
    admins = page(member_of(organization, Role.ADMIN), organization)

    assert "billing.refunded" in owners
    assert "billing.refunded" not in admins


def test_another_organizations_entries_are_on_no_page_and_in_no_export():
    own, foreign = OrganizationFactory.create(), OrganizationFactory.create()
    audit.record("member.invited", organization=foreign, target="secret-target")
    owner = owner_of(own)

    assert "secret-target" not in page(owner, own)
    assert "secret-target" not in page(owner, own, name="audit-csv")


def test_older_entries_are_reached_page_by_page_without_gap_or_repeat():
    organization = OrganizationFactory.create()
    for number in range(120):
        audit.record(f"test.n{number}", organization=organization)
    owner = owner_of(organization)
    client = Client()
    client.force_login(owner)
    url = reverse("orgs:audit", kwargs={"slug": organization.slug})

    seen: list[str] = []
    cursor: Any = ""
    while cursor is not None:
        response = client.get(url, {"action": "test.", "before": cursor})
        seen += [row["entry"].action for row in response.context["rows"]]
        cursor = response.context["older"]

    assert seen == [f"test.n{number}" for number in reversed(range(120))]


@pytest.mark.parametrize("before", ["x", "-1", "9" * 40, "٣", "1e3", "\x00"])
def test_a_forged_cursor_shows_the_newest_page(before):
    organization = OrganizationFactory.create()

    assert "organization.created" in page(owner_of(organization), organization, before=before)


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_of_the_export_is_a_formula(value):
    organization = OrganizationFactory.create()
    audit.record("test.cell", organization=organization, target=value)

    text = page(owner_of(organization), organization, name="audit-csv")

    rows = {row["action"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert rows["test.cell"]["target"] == f"'{value}"


def test_the_export_obeys_the_filter():
    organization = OrganizationFactory.create()
    audit.record("test.wanted", organization=organization)

    text = page(owner_of(organization), organization, name="audit-csv", action="test.")

    assert [row["action"] for row in csv.DictReader(io.StringIO(text))] == ["test.wanted"]


def rename_and_fail(organization, owner):
    organizations.rename(organization, "Never", actor=owner)
    raise RuntimeError


def page(user, organization, name="audit", **query):
    client = Client()
    client.force_login(user)
    response = client.get(
        reverse(f"orgs:{name}", kwargs={"slug": organization.slug}), query_params=query
    )
    assert response.status_code == 200
    return response.getvalue().decode()
