"""An organization always has an owner: in the verbs, and in the database underneath them."""

import threading
import uuid

import pytest
from django.db import IntegrityError, connection, transaction

from orgs import members, organizations
from orgs.exceptions import LastOwner, NotAllowed, PersonalOrganization
from orgs.models import AuditEntry, Membership, Organization, Role
from tests.factories.orgs import (
    MembershipFactory,
    OrganizationFactory,
    owner_of,
    personal_organization,
)


def settle():
    """Runs the deferred triggers now, as the end of a transaction would."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def committed(statement, *parameters):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
        settle()


def role_of(organization, user):
    return organization.memberships.get(user=user).role


@pytest.mark.django_db
def test_the_last_owner_can_neither_leave_nor_be_demoted_nor_be_removed():
    organization = OrganizationFactory.create()
    owner = owner_of(organization)
    membership = organization.memberships.get()

    with pytest.raises(LastOwner):
        members.leave(organization, user=owner)
    with pytest.raises(LastOwner):
        members.remove(membership, actor=owner)
    with pytest.raises(LastOwner):
        members.change_role(membership, Role.ADMIN, actor=owner)

    assert role_of(organization, owner) == Role.OWNER


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE orgs_membership SET role = 'member' WHERE organization_id = %s",
        "DELETE FROM orgs_membership WHERE organization_id = %s",
    ],
)
def test_the_database_refuses_to_take_the_last_owner_away(statement):
    organization = OrganizationFactory.create()

    with pytest.raises(IntegrityError, match="would have no owner"):
        committed(statement, organization.pk)

    assert organization.memberships.get().role == Role.OWNER


@pytest.mark.django_db
def test_the_database_refuses_an_organization_that_starts_without_an_owner():
    statement = (
        "INSERT INTO orgs_organization (id, slug, name, kind, language, time_zone, billing_email)"
        " VALUES (%s, 'nobody', 'Nobody', 'team', 'en', 'UTC', '')"
    )

    with pytest.raises(IntegrityError, match="would have no owner"):
        committed(statement, uuid.uuid4())

    assert not Organization.objects.filter(slug="nobody").exists()


@pytest.mark.django_db
def test_a_closed_organization_may_lose_its_members():
    organization = OrganizationFactory.create()
    organizations.close(organization, actor=owner_of(organization))

    organization.memberships.all().delete()
    settle()

    assert not organization.memberships.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_owners_who_demote_each_other_at_once_one_stays_owner():
    organization = OrganizationFactory.create()
    first = owner_of(organization)
    second = MembershipFactory.create(organization=organization, role=Role.OWNER).user

    outcomes = at_once(
        lambda: demote(organization, actor=first, subject=second),
        lambda: demote(organization, actor=second, subject=first),
    )

    assert sorted(outcomes) == ["done", "refused"]
    assert organization.memberships.filter(role=Role.OWNER).count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_trigger_alone_stops_two_transactions_that_each_demote_one_owner():
    """Both have changed their row before either commits: only the row lock can decide."""
    organization = OrganizationFactory.create()
    MembershipFactory.create(organization=organization, role=Role.OWNER)
    first, second = organization.memberships.values_list("pk", flat=True)
    both_changed = threading.Barrier(2, timeout=10)

    outcomes = at_once(
        lambda: raw_demotion(first, both_changed), lambda: raw_demotion(second, both_changed)
    )

    assert sorted(outcomes) == ["done", "refused"]
    assert organization.memberships.filter(role=Role.OWNER).count() == 1


@pytest.mark.django_db
def test_handing_over_makes_the_receiver_owner_and_the_giver_admin():
    organization = OrganizationFactory.create()
    giver = owner_of(organization)
    receiver = MembershipFactory.create(organization=organization)

    members.hand_over(receiver, owner=giver)

    assert role_of(organization, receiver.user) == Role.OWNER
    assert role_of(organization, giver) == Role.ADMIN
    assert AuditEntry.objects.filter(
        organization=organization, action="ownership.handed_over", target=receiver.user.email
    ).exists()


@pytest.mark.django_db
def test_only_an_owner_hands_over():
    organization = OrganizationFactory.create()
    admin = MembershipFactory.create(organization=organization, role=Role.ADMIN)

    with pytest.raises(NotAllowed):
        members.hand_over(admin, owner=admin.user)

    assert role_of(organization, admin.user) == Role.ADMIN


@pytest.mark.django_db
def test_an_admin_can_neither_touch_an_owner_nor_make_one():
    organization = OrganizationFactory.create()
    admin = MembershipFactory.create(organization=organization, role=Role.ADMIN)
    member = MembershipFactory.create(organization=organization)
    owners = organization.memberships.get(user=owner_of(organization))

    with pytest.raises(NotAllowed):
        members.change_role(owners, Role.MEMBER, actor=admin.user)
    with pytest.raises(NotAllowed):
        members.remove(owners, actor=admin.user)
    with pytest.raises(NotAllowed):
        members.change_role(member, Role.OWNER, actor=admin.user)
    with pytest.raises(NotAllowed):
        members.change_role(admin, Role.OWNER, actor=admin.user)

    assert organization.memberships.filter(role=Role.OWNER).count() == 1


@pytest.mark.django_db
def test_a_member_manages_nobody():
    organization = OrganizationFactory.create()
    member = MembershipFactory.create(organization=organization)
    other = MembershipFactory.create(organization=organization)

    with pytest.raises(NotAllowed):
        members.remove(other, actor=member.user)
    with pytest.raises(NotAllowed):
        members.change_role(other, Role.MEMBER, actor=member.user)
    with pytest.raises(NotAllowed):
        members.invite(organization, "x@example.com", Role.MEMBER, inviter=member.user)

    assert organization.memberships.filter(pk=other.pk).exists()


@pytest.mark.django_db
def test_a_personal_organization_is_neither_closed_nor_handed_over_nor_shared():
    team = OrganizationFactory.create()
    owner = owner_of(team)
    personal = personal_organization(owner)

    with pytest.raises(PersonalOrganization):
        organizations.close(personal, actor=owner)
    with pytest.raises(PersonalOrganization):
        members.invite(personal, "x@example.com", Role.MEMBER, inviter=owner)
    with pytest.raises(PersonalOrganization):
        members.hand_over(personal.memberships.get(), owner=owner)

    assert personal.closed_at is None


def demote(organization, *, actor, subject):
    try:
        members.change_role(organization.memberships.get(user=subject), Role.MEMBER, actor=actor)
    except (LastOwner, NotAllowed):
        return "refused"
    return "done"


def raw_demotion(membership_id, both_changed):
    try:
        with transaction.atomic():
            Membership.objects.filter(pk=membership_id).update(role=Role.MEMBER)
            both_changed.wait()
    except IntegrityError:
        return "refused"
    return "done"


def at_once(*acts):
    """Each act in a thread of its own, on a connection of its own."""
    outcomes = []

    def run(act):
        try:
            outcomes.append(act())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return outcomes
