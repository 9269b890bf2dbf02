"""Staff's drift report: what differed from Stripe, what was repaired, what waits for a person."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from billing.models import DriftFinding, Ending, ReconcileRun, Refund
from orgs.admin import LookOnly


@admin.register(DriftFinding)
class DriftFindingAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("found_at", "kind", "organization", "subject", "repaired", "cause", "detail")
    list_filter = ("repaired", "kind")
    search_fields = ("subject", "organization__slug", "cause")
    list_select_related = ("organization",)
    date_hierarchy = "found_at"
    ordering = ("-found_at",)
    show_full_result_count = False


@admin.register(ReconcileRun)
class ReconcileRunAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("started_at", "seconds", "undelivered", "resynced", "failed", "findings")
    ordering = ("-started_at",)
    search_fields = ("started_at",)
    show_full_result_count = False

    @admin.display(description=_("seconds"))
    def seconds(self, run: ReconcileRun) -> str:
        if run.finished_at is None:
            return ""
        return f"{(run.finished_at - run.started_at).total_seconds():.0f}"


@admin.register(Ending)
class EndingAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("created_at", "organization", "subscription_id", "why", "refunds")
    list_filter = ("why",)
    search_fields = ("subscription_id", "organization__slug")
    list_select_related = ("organization",)
    ordering = ("-created_at",)


@admin.register(Refund)
class RefundAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("created_at", "organization", "invoice_id", "amount", "currency", "done_at")
    search_fields = ("invoice_id", "subscription_id", "organization__slug")
    list_select_related = ("organization",)
    ordering = ("-created_at",)
