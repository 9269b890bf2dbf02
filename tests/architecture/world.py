"""Two organizations, everybody who could ask about them, a sample for every URL argument."""

from dataclasses import dataclass, field

from allauth.mfa.models import Authenticator
from django.test import Client

from billing.entitlement import store
from billing.subscription import checkout
from billing.subscription.checkout import Order
from orgs import tokens
from orgs.models import Membership, Organization, Role, User
from tests.factories.orgs import (
    InvitationFactory,
    OrganizationFactory,
    UserFactory,
    member_of,
    owner_of,
)

ROLES = {"member": Role.MEMBER, "admin": Role.ADMIN, "owner": Role.OWNER}
OUTSIDERS = ("stranger", "staff")


@dataclass
class World:
    """`own` is the organization of member, admin and owner; `foreign` is the stranger's."""

    own: Organization
    foreign: Organization
    people: dict[str, User]
    samples: dict[str, str] = field(default_factory=dict)
    foreign_samples: dict[str, str] = field(default_factory=dict)

    def client(self, who: str, *, csrf: bool = False) -> Client:
        """A browser where `who` is signed in; `anonymous` is nobody."""
        client = Client(enforce_csrf_checks=csrf)
        client.raise_request_exception = False
        if who != "anonymous":
            client.force_login(self.people[who])
        return client

    def bearer(self, secret: str) -> Client:
        client = Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {secret}"})
        client.raise_request_exception = False
        return client


def build() -> World:
    """One team with a person of each role, and a stranger's team like it. Plans are on sale."""
    own, foreign = (
        OrganizationFactory.create(slug="own"),
        OrganizationFactory.create(slug="foreign"),
    )
    people = {
        "owner": owner_of(own),
        "admin": member_of(own, Role.ADMIN),
        "member": member_of(own),
        "stranger": owner_of(foreign),
        "staff": UserFactory.create(is_staff=True, is_superuser=True),
    }
    Authenticator.objects.create(user=people["staff"], type="totp", data={"secret": "unused"})
    for organization in Organization.objects.all():
        store.current(organization)  # derived now, so that no request derives it first
    world = World(own=own, foreign=foreign, people=people)
    world.samples = _samples(own, people["owner"])
    world.foreign_samples = _samples(foreign, people["stranger"])
    return world


def open_checkouts(world: World) -> None:
    """A Checkout session and a customer for both organizations, at the simulator."""
    for organization, samples in (
        (world.own, world.samples),
        (world.foreign, world.foreign_samples),
    ):
        intent = checkout.start(organization, owner_of(organization), Order(plan_key="pro"))
        samples["session_id"] = intent.session_id or ""


def _samples(organization: Organization, owner: User) -> dict[str, str]:
    """One value for every argument that a URL pattern may have."""
    membership = member_of(organization).memberships.get(organization=organization)
    assert isinstance(membership, Membership)
    invitation = InvitationFactory.create(organization=organization, email=_address(organization))
    token, secret = tokens.issue(owner, "sample")
    return {
        "slug": organization.slug,
        "organization": organization.slug,
        "reservation": "unknown",
        "membership_id": str(membership.pk),
        "invitation_id": str(invitation.pk),
        "token_id": str(token.pk),
        "token": invitation.secret,
        "personal_token": secret,
        "key": "unknown-key",
        "uidb36": "1",
        "session_id": "cs_test_none",
        "feature": "support",
    }


def _address(organization: Organization) -> str:
    return f"invited@{organization.slug}.example"
