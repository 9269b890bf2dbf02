"""Staff's view of what runs in the background: inbox, outbox, accounts, verdicts.

Everything here is derived or recorded, so nothing is edited; the acts are replay and sync (H7).
"""

from typing import Any, cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from billing.entitlement import disputes
from billing.gateway.webhooks import replay
from billing.models import (
    BillingAccount,
    CheckoutIntent,
    EffectivePlan,
    EffectivePlanChange,
    InboxEvent,
    Invoice,
    OutboxMessage,
    Subscription,
)
from orgs.admin import LookOnly
from orgs.models import User


def _staff(request: HttpRequest) -> User:
    """The admin site lets nobody else in."""
    return cast(User, request.user)


class ActOnly(LookOnly):
    """Looked at and acted upon, never edited: actions need the change permission of the model."""

    def has_act_permission(self, request: HttpRequest) -> bool:
        model: Any = getattr(self, "opts")  # noqa: B009  set by ModelAdmin
        return request.user.has_perm(f"{model.app_label}.change_{model.model_name}")


@admin.register(InboxEvent)
class InboxEventAdmin(ActOnly, admin.ModelAdmin):
    list_display = ("type", "event_id", "customer_id", "state", "attempts", "received_at", "note")
    list_filter = ("state", "type")
    search_fields = ("event_id", "customer_id", "object_id")
    ordering = ("-received_at",)
    actions = ("replay_events",)
    show_full_result_count = False

    @admin.action(description=_("Replay: fetch from Stripe again"), permissions=["act"])
    def replay_events(self, request: HttpRequest, events: QuerySet[InboxEvent]) -> None:
        """Idempotent: each customer is brought up to date from Stripe itself, and it is audited."""
        report = replay.replay(events, actor=_staff(request))
        level = messages.WARNING if report.failed else messages.SUCCESS
        sentence = _("%(done)s events replayed, %(failed)s must wait.") % {
            "done": report.done,
            "failed": report.failed,
        }
        self.message_user(request, sentence, level)


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ActOnly, admin.ModelAdmin):
    list_display = ("kind", "organization", "state", "attempts", "created_at", "sent_at")
    list_filter = ("state", "kind")
    list_select_related = ("organization",)
    search_fields = ("once_per", "organization__slug")
    ordering = ("-created_at",)
    actions = ("send_again",)
    show_full_result_count = False

    @admin.action(description=_("Send again"), permissions=["act"])
    def send_again(self, request: HttpRequest, found: QuerySet[OutboxMessage]) -> None:
        replay.revive(found, actor=_staff(request))
        self.message_user(request, _("They leave within ten seconds."))


@admin.register(BillingAccount)
class BillingAccountAdmin(ActOnly, admin.ModelAdmin):
    list_display = ("organization", "stripe_customer_id", "currency", "frozen_at", "synced_at")
    search_fields = ("organization__slug", "stripe_customer_id")
    actions = ("sync_now",)
    show_full_result_count = False

    @admin.action(description=_("Sync now from Stripe"), permissions=["act"])
    def sync_now(self, request: HttpRequest, accounts: QuerySet[BillingAccount]) -> None:
        report = replay.sync(accounts, actor=_staff(request))
        level = messages.WARNING if report.failed else messages.SUCCESS
        self.message_user(request, _("%(done)s synced.") % {"done": report.done}, level)


@admin.register(EffectivePlan)
class EffectivePlanAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("organization", "plan", "source", "status", "access", "valid_until", "why")
    list_filter = ("source", "access", "status")
    search_fields = ("organization__slug",)
    show_full_result_count = False

    @admin.display(description=_("why"))
    def why(self, effective: EffectivePlan) -> str:
        url = reverse("staff-why", args=[effective.organization_id])
        return format_html('<a href="{}">{}</a>', url, _("Why?"))


@admin.register(EffectivePlanChange)
class EffectivePlanChangeAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("organization", "sequence", "plan", "source", "access", "at", "cause")
    list_filter = ("source",)
    search_fields = ("organization__slug", "cause")
    ordering = ("-recorded_at",)
    show_full_result_count = False


@admin.register(Subscription)
class SubscriptionAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("stripe_id", "organization", "status", "price_id", "quantity")
    list_filter = ("status",)
    search_fields = ("stripe_id", "organization__slug")


@admin.register(Invoice)
class InvoiceAdmin(ActOnly, admin.ModelAdmin):
    list_display = (
        "stripe_id", "number", "organization", "status", "currency", "total", "dispute_status",
        "dispute_settled_at",
    )  # fmt: skip
    list_filter = ("status", "currency", "dispute_status")
    search_fields = ("stripe_id", "number", "organization__slug")
    actions = ("settle_disputes",)

    @admin.action(description=_("Dispute settled: restrict nothing more"), permissions=["act"])
    def settle_disputes(self, request: HttpRequest, chosen: QuerySet[Invoice]) -> None:
        for invoice in chosen.exclude(dispute_status="").select_related("organization"):
            disputes.settle(invoice, actor=_staff(request))


@admin.register(CheckoutIntent)
class CheckoutIntentAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("organization", "price", "seats", "state", "created_at", "completed_at")
    list_filter = ("state",)
    search_fields = ("organization__slug", "session_id")
