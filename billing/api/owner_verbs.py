"""Owners' verbs of the API: look at a price, change, cancel, keep, promo code, trial."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.api import bodies
from billing.api.permissions import MayOrder
from billing.api.persons import person_of
from billing.api.serializers import CheckoutRequest, CheckoutResponse
from billing.entitlement import store
from billing.exceptions import NothingToChange
from billing.subscription import (
    cancellation,
    changes,
    checkout,
    preview,
    promotions,
    syncing,
    trials,
)
from orgs import current
from orgs.capabilities import Capability
from orgs.decorators import open_when_locked
from orgs.permissions import capability


@open_when_locked
class Preview(APIView):
    """What a change would cost, as Stripe says, and what it would change. Changes nothing."""

    permission_classes = [capability(Capability.BILLING_MANAGE)]

    @extend_schema(request=bodies.ChangeWish, responses=bodies.PreviewResponse)
    def post(self, request: Request) -> Response:
        body = bodies.ChangeWish(data=request.data)
        body.is_valid(raise_exception=True)
        organization = current.organization_for(request)
        shown = preview.of_change(organization, body.wish())
        return Response(bodies.PreviewResponse(shown).data, headers={"Cache-Control": "no-store"})


class Change(APIView):
    """Does what a preview's `quote` showed, or what the body names at the price of this moment."""

    permission_classes = [capability(Capability.BILLING_MANAGE)]

    @extend_schema(request=bodies.ChangeRequest, responses=bodies.ChangeResponse)
    def post(self, request: Request) -> Response:
        body = bodies.ChangeRequest(data=request.data)
        body.is_valid(raise_exception=True)
        organization, person = current.organization_for(request), person_of(request)
        quote = body.validated_data.get("quote")
        if quote:
            done = changes.confirm(organization, person, quote)
        else:
            done = changes.change(organization, person, body.wish())
        return Response(bodies.ChangeResponse(done).data)


@open_when_locked
class Upgrade(APIView):
    """Document 004: opens a Checkout; whoever has a subscription is changed without one.

    Then `checkout_url` leads to the billing page, and `changed` says what was done.
    """

    permission_classes = [MayOrder]

    @extend_schema(request=CheckoutRequest, responses=CheckoutResponse)
    def post(self, request: Request) -> Response:
        body = CheckoutRequest(data=request.data)
        body.is_valid(raise_exception=True)
        organization, person = current.organization_for(request), person_of(request)
        if not organization.subscriptions.standing().exists():
            order = body.order(currency=checkout.usual_currency(organization))
            intent = checkout.start(organization, person, order)
            return Response({"checkout_url": intent.url})
        try:
            done = changes.change(organization, person, body.wish())
        except NothingToChange:
            return Response({"checkout_url": bodies.billing_url(organization)})
        answer = {"checkout_url": bodies.billing_url(organization)}
        return Response(answer | {"changed": bodies.ChangeResponse(done).data})


@open_when_locked
class Cancel(APIView):
    """Ends the subscription by the catalogue's policy. Open while locked; the debt stays."""

    permission_classes = [capability(Capability.BILLING_MANAGE)]

    @extend_schema(request=bodies.CancelRequest, responses=bodies.CancelResponse)
    def post(self, request: Request) -> Response:
        body = bodies.CancelRequest(data=request.data)
        body.is_valid(raise_exception=True)
        wish: dict[str, Any] = body.validated_data
        ends_at = cancellation.cancel(
            current.organization_for(request),
            person_of(request),
            reason=wish["reason"],
            comment=wish["comment"],
        )
        return Response(bodies.CancelResponse({"ends_at": ends_at}).data)


class Keep(APIView):
    """Undoes a scheduled change or cancellation."""

    permission_classes = [capability(Capability.BILLING_MANAGE)]

    @extend_schema(request=bodies.Named, responses={204: None})
    def post(self, request: Request) -> Response:
        bodies.Named(data=request.data).is_valid(raise_exception=True)
        changes.keep(current.organization_for(request), person_of(request))
        return Response(status=204)


@open_when_locked
class Sync(APIView):
    """Compares with Stripe now and repairs; at most every half minute (429)."""

    permission_classes = [capability(Capability.BILLING_MANAGE)]

    @extend_schema(request=bodies.Named, responses=bodies.SyncResponse)
    def post(self, request: Request) -> Response:
        bodies.Named(data=request.data).is_valid(raise_exception=True)
        found = syncing.now(current.organization_for(request), person_of(request))
        return Response(bodies.SyncResponse({"changed": [one.subject for one in found]}).data)


class Promo(APIView):
    """Uses a promo code: a discount on the subscription, or credit."""

    permission_classes = [capability(Capability.BILLING_MANAGE)]

    @extend_schema(request=bodies.PromoRequest, responses=bodies.PromoResponse)
    def post(self, request: Request) -> Response:
        body = bodies.PromoRequest(data=request.data)
        body.is_valid(raise_exception=True)
        applied = promotions.apply(
            current.organization_for(request), person_of(request), body.validated_data["code"]
        )
        return Response(bodies.PromoResponse(applied).data)


class Trial(APIView):
    """Starts a trial without a card, once per person and organization."""

    permission_classes = [capability(Capability.BILLING_MANAGE)]

    @extend_schema(request=bodies.TrialRequest, responses=bodies.TrialResponse)
    def post(self, request: Request) -> Response:
        body = bodies.TrialRequest(data=request.data)
        body.is_valid(raise_exception=True)
        organization = current.organization_for(request)
        trials.start(organization, person_of(request), body.validated_data["tier"])
        return Response(bodies.TrialResponse(store.current(organization)).data)
