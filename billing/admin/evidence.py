"""Evidence and classifications as staff see them: kept, never edited."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from billing.models import Classification, Evidence
from orgs.admin import LookOnly


@admin.register(Evidence)
class EvidenceAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("created_at", "kind", "passed", "livemode", "catalog", "summary", "author")
    list_filter = ("kind", "passed", "livemode")
    list_select_related = ("author",)
    exclude = ("file",)
    readonly_fields = ("download",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Evidence]:
        found: QuerySet[Evidence] = super().get_queryset(request).defer("file")
        return found

    @admin.display(description=_("file"))
    def download(self, evidence: Evidence) -> SafeString | str:
        if not evidence.sha256:
            return ""
        url = reverse("admin:evidence-file", args=[evidence.pk])
        return format_html('<a href="{}">{}</a>', url, evidence.file_name or evidence.sha256)


@admin.register(Classification)
class ClassificationAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("organization", "kind", "grant", "author", "classified_at", "reason")
    list_filter = ("kind",)
    list_select_related = ("organization", "grant", "author")
    search_fields = ("organization__slug", "reason")
