"""Bodies of billing's API, as they come in and as they go out."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from billing import catalog
from billing.models import Invoice, SubscriptionPlan
from billing.subscription.checkout import Order
from billing.subscription.portal import FLOWS
from billing.subscription.wishes import Wish
from orgs.serializers import OrganizationSerializer, StrictCharField, StrictIntegerField


class CheckoutRequest(OrganizationSerializer):
    tier = StrictCharField(max_length=64, help_text="A plan's key, such as `pro`.")
    seats = StrictIntegerField(required=False, min_value=1, max_value=100_000)
    interval = serializers.ChoiceField(choices=["month", "year"], required=False)
    currency = StrictCharField(required=False, min_length=3, max_length=3)

    def validate_currency(self, value: str) -> str:
        sold = catalog.current().currencies
        if value.lower() not in sold:
            raise serializers.ValidationError(
                _("We sell in %(currencies)s.") % {"currencies": ", ".join(sold).upper()}
            )
        return value.lower()

    def order(self, *, currency: str) -> Order:
        """The wish; `currency` stands in where the body names none."""
        wish: dict[str, Any] = self.validated_data
        return Order(
            plan_key=wish["tier"],
            seats=wish.get("seats"),
            interval=wish.get("interval", "month"),
            currency=wish.get("currency", currency),
        )

    def wish(self) -> Wish:
        """For a subscription that is there: what the body leaves out stays as it is."""
        wish: dict[str, Any] = self.validated_data
        return Wish(
            plan_key=wish["tier"],
            interval=wish.get("interval"),
            currency=wish.get("currency"),
            seats=wish.get("seats"),
        )


class CheckoutResponse(serializers.Serializer[Any]):
    checkout_url = serializers.URLField()


class PortalRequest(OrganizationSerializer):
    scope = serializers.ChoiceField(choices=["auto", "org", "personal"], default="auto")
    flow = serializers.ChoiceField(choices=FLOWS, required=False)


class PortalResponse(serializers.Serializer[Any]):
    portal_url = serializers.URLField()


class InvoiceResponse(serializers.ModelSerializer[Invoice]):
    """Amounts are integer minor units of `currency`."""

    id = serializers.CharField(source="stripe_id")

    class Meta:
        model = Invoice
        fields = [
            "id", "number", "status", "currency", "subtotal", "tax", "total", "amount_due",
            "amount_paid", "amount_remaining", "amount_refunded", "created_at", "period_start",
            "period_end", "due_date", "paid_at", "hosted_url", "pdf_url", "lines",
        ]  # fmt: skip


class InvoicesResponse(serializers.Serializer[Any]):
    invoices = InvoiceResponse(many=True)
    has_more = serializers.BooleanField()


class PriceResponse(serializers.Serializer[Any]):
    interval = serializers.CharField()
    currency = serializers.CharField()
    amount = serializers.IntegerField(source="unit_amount", help_text="Minor units.")


class PlanLimitResponse(serializers.Serializer[Any]):
    meter = serializers.CharField()
    amount = serializers.IntegerField(allow_null=True, help_text="null means unlimited.")
    hard = serializers.BooleanField()
    per = serializers.CharField()


class PlanResponse(serializers.Serializer[Any]):
    tier = serializers.CharField(source="key")
    version = serializers.IntegerField()
    name = serializers.CharField()
    summary = serializers.CharField()
    kind = serializers.CharField()
    per_seat = serializers.BooleanField()
    min_seats = serializers.IntegerField()
    max_seats = serializers.IntegerField(allow_null=True)
    prices = PriceResponse(many=True, source="on_sale_prices")
    limits = PlanLimitResponse(many=True, source="limits.all")
    features = serializers.DictField(child=serializers.CharField())
    sales_contact = serializers.SerializerMethodField()

    def get_sales_contact(self, plan: SubscriptionPlan) -> str | None:
        """Whom to write to for a plan that is agreed by contract, else null."""
        by_contract = plan.kind == SubscriptionPlan.Kind.CONTRACT
        return str(self.context["sales_contact"]) if by_contract else None


class PlansResponse(serializers.Serializer[Any]):
    plans = PlanResponse(many=True)
