"""Limits, credits and tokens for tests of the engine, without a plan behind them."""

from datetime import UTC, datetime, timedelta

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from quotas.engine.periods import ALWAYS, period_at
from quotas.models import (
    Credit,
    Kind,
    PeriodRule,
    QuotaHead,
    Satellite,
    UsageEvent,
    UsageLimit,
)
from tests.factories.orgs import OrganizationFactory

ANCHOR = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


def limited(organization=None, **limits):
    """An organization whose meters have these hard limits, and nothing else to derive.

    A limit is an amount (None: unlimited) or the fields of UsageLimit:
    `limited(storage=100, ai_queries={"amount": 5, "hard": False})`.
    """
    organization = organization or OrganizationFactory.create()
    QuotaHead.objects.update_or_create(
        organization=organization, defaults={"plan": "pro", "access": "full", "valid_until": None}
    )
    for meter, limit in limits.items():
        fields = limit if isinstance(limit, dict) else {"amount": limit}
        limit_of(organization, meter, **fields)
    return organization


def limit_of(organization, meter, **fields):
    """Creates or changes one limit; a level for `storage`, else a flow by billing period."""
    kind = fields.pop("kind", Kind.LEVEL if meter == "storage" else Kind.FLOW)
    rule = fields.pop("period_rule", PeriodRule.BILLING if kind == Kind.FLOW else PeriodRule.NEVER)
    anchor = fields.pop("period_anchor", ANCHOR)
    at = fields.pop("at", timezone.now())
    period = ALWAYS if rule == PeriodRule.NEVER else period_at(rule, anchor, at)
    values = {
        "kind": kind,
        "period_rule": rule,
        "period_anchor": anchor,
        "period_start": period.start,
        "period_end": period.end,
    } | fields
    limit, _made = UsageLimit.objects.update_or_create(
        organization=organization, meter=meter, defaults=values
    )
    return limit


def change_head(organization, **fields):
    QuotaHead.objects.filter(organization=organization).update(**fields)


class CreditFactory(DjangoModelFactory):
    """Ten prepaid AI queries that never expire. The meter's limit learns of them."""

    class Meta:
        model = Credit

    organization = factory.SubFactory(OrganizationFactory)
    meter = "ai_queries"
    amount = 10
    remaining = factory.SelfAttribute("amount")
    starts_at = factory.LazyFunction(lambda: timezone.now() - timedelta(days=1))
    reason = "bought in a test"

    @classmethod
    def _create(cls, model_class, *args, **kwargs):
        credit = super()._create(model_class, *args, **kwargs)
        UsageLimit.objects.filter(organization=credit.organization, meter=credit.meter).update(
            has_credits=True
        )
        return credit


class SatelliteFactory(DjangoModelFactory):
    class Meta:
        model = Satellite

    key = factory.Sequence(lambda n: f"drive-{n}")
    name = factory.Sequence(lambda n: f"Drive {n}")


def events_of(organization):
    return UsageEvent.objects.filter(organization=organization).order_by("sequence")
