"""People and organizations for tests, made by the same verbs that pages use."""

import secrets
from datetime import timedelta
from typing import Any

import factory
from allauth.account.models import EmailAddress
from django.db import transaction
from django.utils import timezone
from factory.django import DjangoModelFactory

from orgs import organizations, tokens
from orgs.models import Invitation, Membership, Organization, Role, User

PASSWORD = "correct-horse-battery-staple"


class UserFactory(DjangoModelFactory[User]):
    """Someone with a verified address, a personal organization and the password PASSWORD."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda n: f"person-{n}@example.com")
    name = factory.Sequence(lambda n: f"Person {n}")
    password = PASSWORD

    @classmethod
    def _create(cls, model_class, *args, **kwargs):
        with transaction.atomic():
            user = model_class.objects.create_user(*args, **kwargs)
            EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
        return user


class OrganizationFactory(DjangoModelFactory[Organization]):
    """A team with one owner (`owner=…`, else somebody new), whose current organization it is."""

    class Meta:
        model = Organization

    name = factory.Sequence(lambda n: f"Team {n}")
    slug = factory.Sequence(lambda n: f"team-{n}")
    owner = factory.SubFactory(UserFactory)

    @classmethod
    def _create(cls, model_class, *args, **kwargs):
        owner, name, slug = kwargs.pop("owner"), kwargs.pop("name"), kwargs.pop("slug")
        with transaction.atomic():
            organization = organizations.create_team(owner, name, slug=slug)
            for field, value in kwargs.items():
                setattr(organization, field, value)
            organization.save()
        return organization


class MembershipFactory(DjangoModelFactory[Membership]):
    """A plain member, unless `role` says more."""

    class Meta:
        model = Membership

    organization = factory.SubFactory(OrganizationFactory)
    user = factory.SubFactory(UserFactory)
    role = Role.MEMBER


class InvitationFactory(DjangoModelFactory[Any]):
    """Open for a week. The mailed secret is on the instance as `secret`."""

    class Meta:
        model = Invitation

    organization = factory.SubFactory(OrganizationFactory)
    email = factory.Sequence(lambda n: f"invited-{n}@example.com")
    role = Role.MEMBER
    expires_at = factory.LazyFunction(lambda: timezone.now() + timedelta(days=7))

    @classmethod
    def _create(cls, model_class, *args, **kwargs):
        secret = kwargs.pop("secret", None) or secrets.token_urlsafe(32)
        if "invited_by" not in kwargs:
            owners = kwargs["organization"].memberships.filter(role=Role.OWNER)
            kwargs["invited_by"] = owners.first().user
        invitation = super()._create(model_class, *args, token_hash=tokens.digest(secret), **kwargs)
        invitation.secret = secret
        return invitation


def personal_organization(user):
    return user.organizations.get(kind=Organization.Kind.PERSONAL, closed_at=None)


def owner_of(organization):
    return organization.memberships.filter(role=Role.OWNER).select_related("user").first().user


def member_of(organization, role=Role.MEMBER):
    """Somebody new in the organization, whose current organization it becomes."""
    user = MembershipFactory.create(organization=organization, role=role).user
    organizations.make_current(user, organization)
    return user


def api_token_for(user, **options):
    """The secret of a new personal token: `Authorization: Bearer <secret>`."""
    _token, secret = tokens.issue(user, "test", **options)
    return secret
