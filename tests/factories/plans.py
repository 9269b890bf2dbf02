"""Plans for tests that need rows but no catalogue."""

import factory
from factory.django import DjangoModelFactory

from billing.models import PlanLimit, PlanPrice, SubscriptionPlan


class SubscriptionPlanFactory(DjangoModelFactory[SubscriptionPlan]):
    """A flat free plan unless told otherwise."""

    class Meta:
        model = SubscriptionPlan

    catalog = "factory"
    key = factory.Sequence(lambda n: f"plan-{n}")
    position = factory.Sequence(lambda n: n)
    kind = SubscriptionPlan.Kind.FREE
    texts = factory.LazyAttribute(
        lambda plan: {"en": {"name": plan.key.title(), "summary": "Made by a factory"}}
    )

    class Params:
        paid = factory.Trait(
            kind=SubscriptionPlan.Kind.PAID, per_seat=True, min_seats=1, max_seats=50
        )


class PlanPriceFactory(DjangoModelFactory[PlanPrice]):
    """A monthly price of $6.00 per seat, linked to a price at Stripe."""

    class Meta:
        model = PlanPrice

    plan = factory.SubFactory(SubscriptionPlanFactory, paid=True)
    interval = PlanPrice.Interval.MONTH
    currency = "usd"
    unit_amount = 600
    stripe_price_id = factory.Sequence(lambda n: f"price_factory{n:04d}")
    lookup_key = factory.LazyAttribute(
        lambda price: f"{price.plan.catalog}_{price.plan.key}_{price.interval}_{price.currency}"
    )


class PlanLimitFactory(DjangoModelFactory[PlanLimit]):
    """A hard limit of ten per organization."""

    class Meta:
        model = PlanLimit

    plan = factory.SubFactory(SubscriptionPlanFactory)
    meter = "storage"
    amount = 10
    hard = True
