"""From the effective plan to limits, and seats."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.db import connections, transaction
from django.utils import timezone

from billing import catalog
from billing.catalog.apply import apply
from billing.entitlement import store
from billing.models import BillingAccount, Grant, Source
from orgs import members as people
from orgs import organizations
from orgs.exceptions import OrganizationNotFound
from quotas.engine import enforcement, limits, members
from quotas.exceptions import QuotaExceeded
from quotas.models import LimitAdjustment, QuotaHead, UsageControl, UsageLimit
from tests.factories.orgs import InvitationFactory, MembershipFactory, OrganizationFactory, owner_of

GIB = 2**30


@pytest.fixture
def on_sale(db):
    apply(catalog.current(), None, {})


def give(organization, plan, **fields):
    Grant.objects.create(
        organization=organization, source=Source.MANUAL, plan_key=plan, reason="a test", **fields
    )
    return store.rederive(organization, cause="test")


def limit_of(organization, meter):
    return UsageLimit.objects.get(organization=organization, meter=meter)


@pytest.mark.usefixtures("on_sale")
def test_a_new_organization_gets_the_default_plans_limits_with_its_first_question():
    organization = OrganizationFactory.create()

    decision = enforcement.check(organization, "storage")

    assert (decision.plan, decision.limit) == ("hobby", 2 * GIB)


@pytest.mark.usefixtures("on_sale")
def test_a_new_plan_and_its_limits_come_in_one_transaction():
    organization = OrganizationFactory.create()
    enforcement.check(organization, "storage")

    give(organization, "pro")

    limit = limit_of(organization, "ai_queries")
    assert enforcement.check(organization, "storage").limit == 100 * GIB
    assert (limit.hard, limit.overage) == (False, "bill")
    assert limit.overage_cap == 62_500  # $25.00 at $0.40 per 1,000


@pytest.mark.usefixtures("on_sale")
def test_a_grant_that_ends_is_noticed_by_the_next_decision():
    organization = OrganizationFactory.create()
    now = timezone.now()
    give(organization, "pro", ends_at=now + timedelta(hours=1))
    account = BillingAccount.objects.get(organization=organization)
    account.frozen_at = now + timedelta(hours=1)
    account.save()

    decision = enforcement.consume(organization, "storage", 3 * GIB, idempotency_key="k")

    assert decision.plan == "hobby"
    assert not decision.allowed


@pytest.mark.usefixtures("on_sale")
def test_a_contracts_own_amount_replaces_the_plans():
    organization = OrganizationFactory.create()
    Grant.objects.create(
        organization=organization,
        source=Source.CONTRACT,
        plan_key="enterprise",
        limits={"storage": 5, "ai_queries": None},
        reason="signed",
    )

    store.rederive(organization, cause="test")

    assert limit_of(organization, "storage").amount == 5
    assert limit_of(organization, "ai_queries").amount is None


@pytest.mark.usefixtures("on_sale")
def test_an_add_on_raises_and_an_override_replaces_a_limit_until_it_ends():
    organization = OrganizationFactory.create()
    effective = store.current(organization)
    now = timezone.now()
    LimitAdjustment.objects.create(
        organization=organization, meter="storage", mode="set", source="override",
        amount=10, reason="goodwill", starts_at=now, ends_at=now + timedelta(days=1),
    )  # fmt: skip
    LimitAdjustment.objects.create(
        organization=organization, meter="storage", mode="add", source="add_on",
        amount=5, reason="pack", starts_at=now,
    )  # fmt: skip
    limits.derive(organization, effective)

    during = enforcement.check(organization, "storage").limit
    QuotaHead.objects.update(frozen_at=now + timedelta(days=1))
    BillingAccount.objects.update(frozen_at=now + timedelta(days=1))
    after = enforcement.check(organization, "storage").limit

    assert (during, after) == (15, 2 * GIB + 5)


@pytest.mark.usefixtures("on_sale")
def test_an_owner_who_chose_to_stop_is_never_billed_extra():
    organization = OrganizationFactory.create()
    UsageControl.objects.create(organization=organization, meter="ai_queries", choice="stop")

    give(organization, "pro")

    assert limit_of(organization, "ai_queries").hard


@pytest.mark.usefixtures("on_sale")
def test_an_owners_cap_is_counted_in_units():
    organization = OrganizationFactory.create()
    UsageControl.objects.create(
        organization=organization, meter="ai_queries", choice="bill", cap=100, currency="usd"
    )

    give(organization, "pro")

    assert limit_of(organization, "ai_queries").overage_cap == 2_500


@pytest.mark.usefixtures("on_sale")
def test_an_earlier_verdict_cannot_overwrite_a_later_one():
    organization = OrganizationFactory.create()
    earlier = store.current(organization)
    give(organization, "pro")

    limits.derive(organization, earlier)

    assert limit_of(organization, "storage").amount == 100 * GIB


@pytest.mark.usefixtures("on_sale")
def test_the_anchor_is_kept_while_it_explains_the_period():
    organization = OrganizationFactory.create()
    effective = store.current(organization)
    first = timezone.now().replace(year=2026, month=1, day=31, hour=9)
    effective.period_start, effective.period_end = first, first.replace(month=2, day=28)
    limits.derive(organization, effective)
    effective.period_start = first.replace(month=2, day=28)

    limits.derive(organization, effective)

    assert limit_of(organization, "ai_queries").period_anchor == first


@pytest.mark.usefixtures("on_sale")
def test_an_unknown_organization_is_not_found():
    with pytest.raises(OrganizationNotFound):
        enforcement.check(uuid4(), "storage")


@pytest.mark.usefixtures("on_sale")
def test_members_are_counted_from_memberships():
    organization = OrganizationFactory.create()
    MembershipFactory.create_batch(2, organization=organization)

    decision = enforcement.check(organization, "members")

    assert (decision.used, decision.limit, decision.remaining) == (3, 5, 2)


@pytest.mark.usefixtures("on_sale")
def test_the_sixth_member_on_hobby_is_refused_and_fits_after_the_upgrade():
    organization = OrganizationFactory.create()
    MembershipFactory.create_batch(4, organization=organization)
    invitation = InvitationFactory.create(organization=organization)
    sixth = MembershipFactory.create().user
    sixth.email = invitation.email
    sixth.save()
    EmailAddress.objects.filter(user=sixth).update(email=invitation.email, verified=True)

    with pytest.raises(QuotaExceeded) as refused, transaction.atomic():
        people.accept(invitation.secret, user=sixth)
    give(organization, "pro", seats=10)
    people.accept(invitation.secret, user=sixth)

    assert refused.value.extra["limit"] == 5
    assert organization.memberships.count() == 6


@pytest.mark.usefixtures("on_sale")
def test_members_beyond_the_bought_seats_are_accepted_and_flagged():
    organization = OrganizationFactory.create()
    give(organization, "pro", seats=2)
    MembershipFactory.create_batch(3, organization=organization)

    seats = members.read_seats(organization)

    assert not seats.is_full
    assert seats.beyond == 2


def test_an_installation_without_plans_limits_no_seats(db):
    organization = OrganizationFactory.create()

    assert members.read_seats(organization).limit is None


@pytest.mark.usefixtures("durable")
def test_two_people_at_the_last_seat_one_wins():
    apply(catalog.current(), None, {})
    organization = OrganizationFactory.create()
    MembershipFactory.create_batch(3, organization=organization)
    owner = owner_of(organization)
    invitations = [InvitationFactory.create(organization=organization) for _ in range(2)]
    users = [MembershipFactory.create().user for _ in range(2)]
    for user, invitation in zip(users, invitations, strict=True):
        user.email = invitation.email
        user.save()
        EmailAddress.objects.filter(user=user).update(email=invitation.email, verified=True)
    barrier, outcomes = threading.Barrier(2), []

    def accept(user, invitation):
        barrier.wait()
        try:
            people.accept(invitation.secret, user=user)
            outcomes.append("accepted")
        except QuotaExceeded:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=accept, args=pair) for pair in zip(users, invitations, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["accepted", "refused"]
    assert organization.memberships.count() == 5
    assert owner_of(organization) == owner


@pytest.mark.usefixtures("on_sale")
def test_a_closed_organization_is_not_found_by_any_decision():
    organization = OrganizationFactory.create()
    enforcement.consume(organization, "storage", 5, idempotency_key="before")

    organizations.close(organization, actor=owner_of(organization))

    with pytest.raises(OrganizationNotFound):
        enforcement.check(organization, "storage")
    with pytest.raises(OrganizationNotFound):
        enforcement.consume(organization, "storage", 5, idempotency_key="after")
    with pytest.raises(OrganizationNotFound):
        enforcement.release(organization, idempotency_key="nothing")
