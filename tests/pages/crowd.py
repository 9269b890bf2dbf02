"""One team and an installation around it, with as many rows of everything as asked for.

Rows are written in bulk, field by field: what is measured is reading them, and ten thousand acts
would take an hour.
"""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction
from django.utils import timezone

from billing.models import (
    BillingAccount,
    CheckoutIntent,
    EffectivePlan,
    EffectivePlanChange,
    Installation,
    Subscription,
    SubscriptionPlan,
)
from orgs.models import AuditEntry, Invitation, Membership, Organization, Role, User
from quotas.engine import enforcement, limits
from quotas.models import Balance, Observation, QuotaHead, Rollup, ServiceToken, UsageLimit
from quotas.reading import rollups
from tests.billing import selling
from tests.factories.orgs import InvitationFactory, OrganizationFactory, UserFactory, owner_of

NOW = timezone.now()
MONTH = timedelta(days=15)
_PAYING: tuple[Any, ...] = (
    BillingAccount,
    Subscription,
    EffectivePlan,
    QuotaHead,
    UsageLimit,
    Balance,
)
# Made by other means, or no list of anything.
_NOT_FILLED = {Authenticator, Installation, SubscriptionPlan, User, Organization, BillingAccount}
_CHOSEN: dict[str, Any] = {
    "orgs.Invitation.expires_at": NOW + MONTH,
    "orgs.Invitation.accepted_at": None,
    "orgs.Invitation.revoked_at": None,
    "billing.Evidence.passed": True,
    "billing.Evidence.kind": "doctor",
    "billing.Grant.plan_key": "enterprise",
    "billing.Grant.source": "pilot",
    "billing.CheckoutIntent.state": "completed",
    "quotas.Credit.meter": "ai_queries",
    "quotas.LimitAdjustment.meter": "ai_queries",
    "quotas.EnforcementSwitch.mode": "observe",
    "quotas.EnforcementSwitch.subject": "ai_queries",
    "quotas.Observation.source": "meter",
    "quotas.Observation.subject": "ai_queries",
}


Model = Any  # a class of models.Model, with fields of its own


class Crowd:
    """`team` is what its owner looks at; `staff` sees all of it."""

    def __init__(self) -> None:
        selling.put_on_sale()
        self.team = OrganizationFactory.create(name="Hạ Long Studio", slug="ha-long")
        self.owner = owner_of(self.team)
        self.staff = UserFactory.create(is_staff=True, is_superuser=True)
        Authenticator.objects.create(user=self.staff, type="totp", data={"secret": "unused"})
        period: dict[str, Any] = {"period_start": NOW - MONTH, "period_end": NOW + MONTH}
        selling.pays(self.team, **period)
        limits.derive(self.team, self.team.effective_plan)
        enforcement.record(self.team, "ai_queries", 45_000, idempotency_key="first")
        rollups.catch_up()
        self.samples = self._samples()
        self.size = 0

    def _samples(self) -> dict[str, str]:
        """One value for every argument that a URL may have."""
        invitation = InvitationFactory.create(organization=self.team)
        CheckoutIntent.objects.create(
            organization=self.team,
            price=selling.plan("pro").prices.on_sale().for_terms("month", "usd").get(),
            seats=10,
            state=CheckoutIntent.State.COMPLETED,
            session_id="cs_test_paid",
        )
        return {
            "slug": self.team.slug,
            "token": invitation.secret,
            "key": "unknown-key",
            "uidb36": "1",
            "session_id": "cs_test_paid",
        }

    @transaction.atomic
    def grow(self, size: int) -> None:
        """Until there are `size` rows of everything."""
        numbers = range(self.size, size)
        self.size = size
        people = [User(email=f"crowd-{n}@example.com", name=f"Person {n}") for n in numbers]
        teams = [
            Organization(slug=f"crowd-{n}", name=f"Team {n}", kind=Organization.Kind.TEAM)
            for n in numbers
        ]
        User.objects.bulk_create(people, 1000)
        Organization.objects.bulk_create(teams, 1000)
        self._join(people, teams)
        self._pay(teams)
        for model in _of_lists():
            rows = list(_rows(model, numbers, people, teams))
            model._default_manager.bulk_create(rows, 1000)
        self._fill_the_team(people, numbers)

    def _join(self, people: list[User], teams: list[Organization]) -> None:
        Membership.objects.bulk_create(
            [Membership(organization=self.team, user=person, role=Role.MEMBER) for person in people]
            + [
                Membership(organization=team, user=person, role=Role.OWNER)
                for team, person in zip(teams, people, strict=True)
            ],
            1000,
        )

    def _pay(self, teams: list[Organization]) -> None:
        """As the team does, row by row."""
        for model in _PAYING:
            samples = list(model._default_manager.filter(organization=self.team).values())
            model._default_manager.bulk_create(
                [model(**_of_team(sample, team)) for team in teams for sample in samples],
                1000,
            )

    def _fill_the_team(self, people: list[User], numbers: range) -> None:
        """What the pages of an organization list."""
        for model in _of_team_pages():
            mine = people if model is Invitation else [self.owner]
            rows = list(_rows(model, numbers, mine, [self.team], mark="team"))
            for number, row in zip(numbers, rows, strict=True):
                row.sequence = number + 10
            model._default_manager.bulk_create(rows, 1000)
        samples = list(Rollup.objects.filter(organization=self.team).values())
        Rollup.objects.bulk_create(
            [
                Rollup(**sample | {"member": str(person.pk), "organization": self.team})
                for person in people
                for sample in samples
            ],
            1000,
            ignore_conflicts=True,
        )


def _of_lists() -> list[Model]:
    """Everything that the admin lists, and what its pages of operations count."""
    listed = [model for model in admin.site._registry if model not in _NOT_FILLED]
    done = {Membership, Subscription, EffectivePlan, EffectivePlanChange}
    beside: list[Model] = [Observation, ServiceToken]
    return sorted(
        [model for model in listed if model not in done] + beside,
        key=lambda model: (_depth(model), model._meta.label),
    )


def _depth(model: Model) -> int:
    """How many models must have rows before this one can."""
    needed = [f.related_model for f in model._meta.concrete_fields if f.is_relation and not f.null]
    return 1 + max((_depth(other) for other in needed if other is not model), default=0)


def _of_team_pages() -> list[Model]:
    names = ("orgs.PersonalToken", "billing.Invoice", "quotas.Credit")
    listed = [apps.get_model(name) for name in names]
    return [AuditEntry, Invitation, EffectivePlanChange, *listed]


def _of_team(sample: dict[str, Any], team: Organization) -> dict[str, Any]:
    changed = {
        name: f"{value}_{team.slug}"
        for name, value in sample.items()
        if name in {"stripe_id", "stripe_customer_id"}
    }
    return {k: v for k, v in sample.items() if k != "id"} | changed | {"organization_id": team.pk}


def _rows(
    model: Model,
    numbers: range,
    people: list[User],
    teams: list[Organization],
    *,
    mark: str = "",
) -> Iterator[Any]:
    pools: dict[Model, list[Any]] = {User: people, Organization: teams}
    for place, number in enumerate(numbers):
        values = {}
        for field in model._meta.concrete_fields:
            label = f"{model._meta.label}.{field.name}"
            if label in _CHOSEN:
                values[field.name] = _CHOSEN[label]
            elif not field.primary_key or field.is_relation:
                values |= _value(field, f"{number}{mark}", place, pools)
        yield model(**values)


def _value(field: Any, number: str, place: int, pools: dict[Model, list[Any]]) -> dict[str, Any]:
    """Nothing where the model itself knows what to write."""
    if field.is_relation:
        pool = _pool(field, pools)
        return {field.name: pool[place % len(pool)]} if pool else {}
    if field.null or field.has_default() or field.db_default is not models.NOT_PROVIDED:
        return {}
    if field.choices:
        return {field.name: field.choices[0][0]}
    name = field.name
    for kind, value in _PLAIN.items():
        if isinstance(field, kind):
            return {name: value}
    length = field.max_length or 40
    return {name: uuid.uuid5(uuid.NAMESPACE_OID, number).hex[:length]}


def _pool(field: Any, pools: dict[Model, list[Any]]) -> list[Any]:
    related = field.related_model
    if related not in pools:
        pools[related] = list(related._default_manager.order_by("-pk")[:1000])
    return pools[related]


_PLAIN: dict[type, Any] = {
    models.DateTimeField: NOW,
    models.DateField: NOW.date(),
    models.BooleanField: False,
    models.IntegerField: 1,
    models.JSONField: {},
    models.BinaryField: b"",
    ArrayField: [],
    models.GenericIPAddressField: "192.0.2.1",
    models.UUIDField: uuid.UUID(int=1),
}
