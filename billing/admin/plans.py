"""Plans as system admins see them: the next `catalog apply` would undo any change made here."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from billing.catalog import CatalogInvalid, current
from billing.catalog.amounts import format_amount
from billing.catalog.money import format_money
from billing.models import PlanLimit, PlanPrice, SubscriptionPlan
from orgs.admin import LookOnly


class PlanPriceInline(LookOnly, admin.TabularInline):
    model = PlanPrice
    fields = ("interval", "price", "stripe_price_id", "livemode", "lookup_key", "archived_at")
    readonly_fields = fields
    extra = 0

    @admin.display(description=_("price"))
    def price(self, price: PlanPrice) -> str:
        return format_money(price.unit_amount, price.currency)


class PlanLimitInline(LookOnly, admin.TabularInline):
    model = PlanLimit
    fields = ("meter", "allows", "hard", "per", "overage")
    readonly_fields = fields
    extra = 0

    @admin.display(description=_("allows"))
    def allows(self, limit: PlanLimit) -> str:
        """A meter of another catalogue has no unit here, so its plain number is shown."""
        try:
            meter = current().meters.get(limit.meter)
        except CatalogInvalid:
            meter = None
        plain = "∞" if limit.amount is None else str(limit.amount)
        return format_amount(limit.amount, meter) if meter else plain


@admin.register(SubscriptionPlan)
class SubscriptionPlanAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("key", "catalog", "version", "kind", "per_seat", "created_at", "archived_at")
    list_filter = ("catalog", "kind", ("archived_at", admin.EmptyFieldListFilter))
    search_fields = ("key", "prices__stripe_price_id", "prices__lookup_key")
    inlines = (PlanPriceInline, PlanLimitInline)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SubscriptionPlan]:
        return SubscriptionPlan.objects.in_order().with_terms()
