"""Satellites, credits and limits as staff see them; the ledger has pages of its own."""

from django.contrib import admin

from orgs.admin import LookOnly
from quotas.models import Credit, EnforcementSwitch, LimitAdjustment, Satellite, ServiceToken


class TokensOfSatellite(LookOnly, admin.TabularInline):
    model = ServiceToken
    extra = 0
    fields = ("prefix", "meters", "organizations", "expires_at", "last_used_at", "revoked_at")
    readonly_fields = fields


@admin.register(Satellite)
class SatelliteAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("key", "name")
    search_fields = ("key", "name")
    inlines = (TokensOfSatellite,)


@admin.register(Credit)
class CreditAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("organization", "meter", "amount", "remaining", "expires_at", "reason")
    list_filter = ("meter",)
    list_select_related = ("organization",)
    search_fields = ("organization__slug", "reference")
    show_full_result_count = False


@admin.register(LimitAdjustment)
class LimitAdjustmentAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("organization", "meter", "mode", "amount", "starts_at", "ends_at", "reason")
    list_filter = ("meter", "mode")
    list_select_related = ("organization",)
    search_fields = ("organization__slug", "reason")


@admin.register(EnforcementSwitch)
class EnforcementSwitchAdmin(LookOnly, admin.ModelAdmin):
    """The acts; they are made and undone on the page of enforcement modes."""

    list_display = ("at", "organization", "subject", "mode", "author", "reason", "undone_at")
    list_select_related = ("organization", "author")
    search_fields = ("organization__slug", "reason")
