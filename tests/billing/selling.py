"""What page tests stand on: the suite on sale, and organizations in every state of paying."""

from datetime import UTC, datetime, timedelta

from billing import catalog
from billing.catalog.apply import apply
from billing.models import (
    BillingAccount,
    EffectivePlan,
    ExtraPrice,
    Invoice,
    PaymentMethod,
    PlanPrice,
    Source,
    StripeMeter,
    Subscription,
    SubscriptionPlan,
)

START = datetime(2026, 11, 4, tzinfo=UTC)
END = datetime(2026, 12, 4, tzinfo=UTC)


def put_on_sale():
    """The suite in our database, its prices linked as if Stripe had them."""
    apply(catalog.current(), None, {})
    for price in PlanPrice.objects.on_sale():
        price.stripe_price_id = f"price_{price.lookup_key}"
        price.save(update_fields=["stripe_price_id"])
    for extra in ExtraPrice.objects.on_sale():
        extra.stripe_price_id = f"price_{extra.lookup_key}"
        extra.save(update_fields=["stripe_price_id"])
        if extra.kind == ExtraPrice.Kind.OVERAGE:
            StripeMeter.objects.get_or_create(
                catalog=extra.catalog,
                meter=extra.meter,
                defaults={"event_name": extra.meter, "stripe_id": f"mtr_{extra.meter}"},
            )


def plan(key):
    return SubscriptionPlan.objects.of_catalog("suite").with_key(key).on_sale().get()


def pays(organization, **verdict):
    """On Pro by a Stripe subscription with ten seats, as the rows would be after a sync."""
    customer = f"cus_{organization.slug}"
    price = plan("pro").prices.on_sale().for_terms("month", "usd").get()
    usage = ExtraPrice.objects.on_sale().of_kind("overage").for_terms("month", "usd").get()
    BillingAccount.objects.update_or_create(
        organization=organization, defaults={"stripe_customer_id": customer}
    )
    Subscription.objects.create(
        organization=organization,
        stripe_id=f"sub_{organization.slug}",
        customer_id=customer,
        status="active",
        livemode=False,
        currency="usd",
        created_at=START,
        current_period_start=verdict.get("period_start", START),
        current_period_end=verdict.get("period_end", END),
        price_id=price.stripe_price_id,
        quantity=10,
        items=[
            {"id": "si_plan", "price": price.stripe_price_id, "quantity": 10, "metered": False},
            {"id": "si_usage", "price": usage.stripe_price_id, "quantity": 0, "metered": True},
        ],
    )
    PaymentMethod.objects.create(
        organization=organization,
        stripe_id=f"pm_{organization.slug}",
        customer_id=customer,
        type="card",
        brand="visa",
        last4="4242",
        exp_month=8,
        exp_year=2027,
        is_default=True,
    )
    terms = {
        "plan": plan("pro"),
        "source": Source.STRIPE,
        "seats": 10,
        "interval": "month",
        "currency": "usd",
        "price_id": price.stripe_price_id,
        "period_start": START,
        "period_end": END,
        "reason": "subscription",
    }
    EffectivePlan.objects.update_or_create(organization=organization, defaults=terms | verdict)


def invoice(organization, **values):
    n = Invoice.objects.count() + 1
    plain = {
        "stripe_id": f"in_{n}",
        "customer_id": f"cus_{organization.slug}",
        "number": f"LL-2026-{n:04d}",
        "status": Invoice.Status.PAID,
        "currency": "usd",
        "subtotal": 6000,
        "total": 6000,
        "amount_due": 6000,
        "amount_paid": 6000,
        "amount_remaining": 0,
        "lines": [{"description": "Pro, 10 seats"}],
        "created_at": START + timedelta(seconds=n),
        "period_start": START,
        "period_end": END,
        "attempt_count": 1,
        "pdf_url": f"https://stripe.example/{n}/pdf",
    }
    return Invoice.objects.create(organization=organization, **plain | values)


def unpaid(organization, **values):
    """A failed invoice of $63.55, still open."""
    debt = {"total": 6355, "amount_due": 6355, "amount_remaining": 6355, "amount_paid": 0}
    hosted = {"hosted_url": "https://stripe.example/pay", "status": Invoice.Status.OPEN}
    return invoice(organization, **debt | hosted | values)
