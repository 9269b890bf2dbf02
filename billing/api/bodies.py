"""Bodies of the owners' verbs. Amounts are integer minor units of the `currency` beside them."""

from typing import Any

from django.conf import settings
from django.urls import reverse
from rest_framework import serializers

from billing.subscription.cancellation import REASONS
from billing.subscription.wishes import Wish
from orgs.models import Organization
from orgs.serializers import OrganizationSerializer, StrictCharField, StrictIntegerField


def billing_url(organization: Organization) -> str:
    path = reverse("billing:settings", args=[organization.slug])
    return f"{settings.SITE_URL}{path}"


class Named(OrganizationSerializer):
    """A body that names its organization and nothing else."""


class ChangeWish(OrganizationSerializer):
    """What is left out stays as it is."""

    tier = StrictCharField(required=False, max_length=64, help_text="A plan's key.")
    seats = StrictIntegerField(required=False, min_value=1, max_value=100_000)
    interval = serializers.ChoiceField(choices=["month", "year"], required=False)
    currency = StrictCharField(required=False, min_length=3, max_length=3)
    addons = serializers.DictField(
        child=StrictIntegerField(min_value=0, max_value=10_000),
        required=False,
        help_text="Number of add-on packs by key; 0 ends one with the period.",
    )

    def wish(self) -> Wish:
        found: dict[str, Any] = self.validated_data
        currency = found.get("currency")
        return Wish(
            plan_key=found.get("tier"),
            interval=found.get("interval"),
            currency=currency.lower() if currency else None,
            seats=found.get("seats"),
            addons=found.get("addons", {}),
        )


class ChangeRequest(ChangeWish):
    quote = StrictCharField(
        required=False, max_length=4000, help_text="Of a preview; then nothing else is needed."
    )


class ReplacedResponse(serializers.Serializer[Any]):
    """A change that was scheduled and will not happen any more."""

    tier = serializers.CharField(source="price.plan.key")
    interval = serializers.CharField(source="price.interval")
    seats = serializers.IntegerField()
    at = serializers.DateTimeField()


class ChangeResponse(serializers.Serializer[Any]):
    tier = serializers.CharField(source="plan.key")
    interval = serializers.CharField()
    seats = serializers.IntegerField()
    addons = serializers.DictField(child=serializers.IntegerField())
    at_once = serializers.BooleanField()
    effective_at = serializers.DateTimeField(allow_null=True)
    confirm_url = serializers.CharField(
        allow_blank=True, help_text="Where the bank wants the payment confirmed; mostly empty."
    )
    replaces = ReplacedResponse(
        allow_null=True, help_text="What was scheduled and will not happen any more; mostly null."
    )


class LineResponse(serializers.Serializer[Any]):
    description = serializers.CharField()
    amount = serializers.IntegerField()
    quantity = serializers.IntegerField(allow_null=True)
    proration = serializers.BooleanField()


class ReceiptResponse(serializers.Serializer[Any]):
    currency = serializers.CharField()
    lines = LineResponse(many=True)
    subtotal = serializers.IntegerField()
    discount = serializers.IntegerField()
    tax = serializers.IntegerField()
    total = serializers.IntegerField()
    from_balance = serializers.IntegerField()
    due = serializers.IntegerField()


class NextInvoiceResponse(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    receipt = ReceiptResponse()


class LimitChangeResponse(serializers.Serializer[Any]):
    meter = serializers.CharField()
    before = serializers.IntegerField(allow_null=True)
    after = serializers.IntegerField(allow_null=True)


class SurplusResponse(serializers.Serializer[Any]):
    meter = serializers.CharField()
    used = serializers.IntegerField()
    limit = serializers.IntegerField()
    amount = serializers.IntegerField()
    policy = serializers.CharField()


class PreviewResponse(serializers.Serializer[Any]):
    tier = serializers.CharField(source="plan.key")
    interval = serializers.CharField(source="price.interval")
    seats = serializers.IntegerField()
    addons = serializers.DictField(child=serializers.IntegerField())
    at_once = serializers.BooleanField()
    effective_at = serializers.DateTimeField()
    today = ReceiptResponse(allow_null=True)
    next_invoice = NextInvoiceResponse()
    limits = LimitChangeResponse(many=True, source="consequences.limits")
    gained = serializers.ListField(source="consequences.gained")
    lost = serializers.ListField(source="consequences.lost")
    over_limit = SurplusResponse(many=True, source="consequences.over")
    replaces = ReplacedResponse(allow_null=True)
    quote = serializers.CharField(help_text="Confirms exactly this; good for half an hour.")


class CancelRequest(OrganizationSerializer):
    reason = serializers.ChoiceField(choices=list(REASONS), required=False, default="")
    comment = StrictCharField(required=False, default="", max_length=500, allow_blank=True)


class CancelResponse(serializers.Serializer[Any]):
    ends_at = serializers.DateTimeField()


class SyncResponse(serializers.Serializer[Any]):
    changed = serializers.ListField(
        child=serializers.CharField(), help_text="Stripe's ids of what was behind; mostly empty."
    )


class PromoRequest(OrganizationSerializer):
    code = StrictCharField(max_length=64)


class DiscountResponse(serializers.Serializer[Any]):
    code = serializers.CharField()
    percent_off = serializers.FloatField(allow_null=True)
    amount_off = serializers.IntegerField(allow_null=True)
    currency = serializers.CharField()
    ends_at = serializers.DateTimeField(allow_null=True)


class PromoResponse(serializers.Serializer[Any]):
    code = serializers.CharField()
    discount = DiscountResponse(allow_null=True)
    credit = serializers.IntegerField()
    currency = serializers.CharField()


class TrialRequest(OrganizationSerializer):
    tier = StrictCharField(max_length=64)


class TrialResponse(serializers.Serializer[Any]):
    tier = serializers.CharField(source="plan.key")
    ends_at = serializers.DateTimeField()
