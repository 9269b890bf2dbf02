"""Packs over the API: what there is and what is held, and buying credits."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import catalog, ports
from billing.api.persons import person_of
from billing.entitlement import store
from billing.exceptions import NotSubscribed
from billing.models import ExtraPrice
from billing.subscription import checkout, credit_packs, holding
from orgs import current
from orgs.capabilities import Capability
from orgs.models import Organization
from orgs.permissions import capability
from orgs.serializers import OrganizationSerializer, StrictCharField


class CreditsRequest(OrganizationSerializer):
    pack = StrictCharField(max_length=64, help_text="A credit pack's key.")
    currency = StrictCharField(required=False, min_length=3, max_length=3)


class CreditsResponse(serializers.Serializer[Any]):
    checkout_url = serializers.URLField()


class PackResponse(serializers.Serializer[Any]):
    """Amounts are minor units of `currency`; `units` those of the meter."""

    pack = serializers.CharField(source="key")
    kind = serializers.ChoiceField(choices=["addon", "credits"])
    meter = serializers.CharField()
    units = serializers.IntegerField()
    interval = serializers.CharField(allow_blank=True)
    currency = serializers.CharField()
    amount = serializers.SerializerMethodField()

    def get_amount(self, price: ExtraPrice) -> int:
        return int(price.unit_amount)


class LeftResponse(serializers.Serializer[Any]):
    meter = serializers.CharField()
    left = serializers.IntegerField()
    expires_at = serializers.DateTimeField(allow_null=True)


class PacksResponse(serializers.Serializer[Any]):
    packs = PackResponse(many=True)
    addons = serializers.DictField(child=serializers.IntegerField(), help_text="Held, by key.")
    credits = LeftResponse(many=True)


class Packs(APIView):
    """What may be bought beside the plan, and what is held. `change` takes `addons`."""

    permission_classes = [capability(Capability.BILLING_VIEW)]

    @extend_schema(responses=PacksResponse)
    def get(self, request: Request) -> Response:
        organization = current.organization_for(request)
        held = _held_addons(organization)
        rows = [*_addons(organization), *credit_packs.offered(store.current(organization))]
        body = {"packs": rows, "addons": held, "credits": ports.usage().credits(organization)}
        return Response(PacksResponse(body).data)


class Credits(APIView):
    """Opens a hosted Checkout page for one pack of prepaid units."""

    permission_classes = [capability(Capability.BILLING_MANAGE)]

    @extend_schema(request=CreditsRequest, responses=CreditsResponse)
    def post(self, request: Request) -> Response:
        body = CreditsRequest(data=request.data)
        body.is_valid(raise_exception=True)
        wish: dict[str, Any] = body.validated_data
        purchase = credit_packs.start(
            current.organization_for(request),
            person_of(request),
            wish["pack"],
            currency=wish.get("currency"),
        )
        return Response({"checkout_url": purchase.url})


def _held_addons(organization: Organization) -> dict[str, int]:
    try:
        held = holding.of(organization)
    except NotSubscribed:
        return {}
    return {key: item["quantity"] for key, (item, _extra) in held.packs.items()}


def _addons(organization: Organization) -> list[ExtraPrice]:
    rows = (
        ExtraPrice.objects.of_catalog(catalog.current().key)
        .of_kind(ExtraPrice.Kind.ADDON)
        .purchasable()
        .filter(currency=checkout.usual_currency(organization))
        .order_by("pk")
    )
    return list(rows)
