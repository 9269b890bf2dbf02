"""Plans given by hand: with a reason, an author and an audit entry; ended by revoking."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final, cast

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing import catalog
from billing.catalog import CatalogInvalid
from billing.entitlement import clock, contracts, grants
from billing.models import Grant, Source
from orgs.exceptions import Unprocessable
from orgs.models import User

_SOON: Final = timedelta(days=30)


class GrantForm(forms.ModelForm):
    """A trial is started by its organization, never given here."""

    plan_key = forms.ChoiceField(label=_("Plan"))
    source = forms.ChoiceField(label=_("Source"))
    own_limits = forms.CharField(
        label=_("Limits of its own"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("One a line, such as: storage = 2 TB. They replace the plan's."),
    )
    purchase_order = forms.CharField(label=_("Purchase order"), required=False, max_length=80)
    net_days = forms.TypedChoiceField(
        label=_("Payment terms"), required=False, coerce=int, empty_value=None
    )
    documents = forms.CharField(
        label=_("Documents"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("One a line: a title, then a link that starts with https://."),
    )

    class Meta:
        model = Grant
        fields = ("organization", "source", "plan_key", "seats", "reason", "starts_at", "ends_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._choose("source", [(s.value, s.label) for s in Grant.SOURCES if s != Source.TRIAL])
        self._choose("plan_key", list(_plans()))
        self._choose("net_days", [("", "---------"), *_net_days()])
        if "starts_at" in self.fields:
            self.fields["starts_at"].required = False

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        self._read("own_limits", contracts.limits_from)
        self._read("documents", contracts.documents_from)
        if self.errors:
            return found
        self.instance.limits = found["own_limits"]
        self.instance.terms = contracts.Terms(
            purchase_order=found["purchase_order"],
            net_days=found["net_days"],
            documents=found["documents"],
        ).as_json()
        if found["starts_at"] is None:
            found["starts_at"] = clock.now_for(found["organization"])
        return found

    def _read(self, field: str, reader: Any) -> None:
        try:
            self.cleaned_data[field] = reader(self.cleaned_data.get(field, ""))
        except Unprocessable as refusal:
            self.add_error(field, str(refusal))

    def _choose(self, name: str, choices: list[tuple[Any, Any]]) -> None:
        """A form that only looks has no fields."""
        if name in self.fields:
            cast(forms.ChoiceField, self.fields[name]).choices = choices


def _plans() -> Iterable[tuple[str, str]]:
    try:
        return [(key, str(plan.name)) for key, plan in catalog.current().plans.items()]
    except CatalogInvalid:
        return []


def _net_days() -> Iterable[tuple[str, str]]:
    try:
        days = catalog.current().contracts.net_days
    except CatalogInvalid:
        return []
    return [(str(one), str(_("%(days)s days net") % {"days": one})) for one in days]


class Expiry(admin.SimpleListFilter):
    title = _("end")
    parameter_name = "end"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("soon", _("Within 30 days")),
            ("past", _("Ended or revoked")),
            ("never", _("Without an end")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Grant]) -> QuerySet[Grant]:
        rows = Grant.objects.filter(pk__in=queryset.values("pk"))
        now = timezone.now()
        chosen = {
            "soon": rows.ending(now, within=_SOON),
            "past": rows.over(now),
            "never": rows.filter(ends_at=None, revoked_at=None),
        }
        return chosen.get(self.value() or "", queryset)


@admin.register(Grant)
class GrantAdmin(admin.ModelAdmin):
    list_display = (
        "organization", "plan_key", "source", "seats", "author", "starts_at", "ends_at",
        "revoked_at",
    )  # fmt: skip
    list_filter = ("source", Expiry)
    search_fields = ("organization__slug", "reason")
    list_select_related = ("organization", "author")
    form = GrantForm
    fields = (
        "organization", "source", "plan_key", "seats", "reason", "starts_at", "ends_at",
        "own_limits", "purchase_order", "net_days", "documents",
    )  # fmt: skip
    autocomplete_fields = ("organization",)
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """One that was given is read, with what was agreed as it was stored."""
        if obj is None:
            return self.fields
        return (
            "organization", "source", "plan_key", "seats", "limits", "terms", "reason", "author",
            "starts_at", "ends_at", "revoked_at", "created_at",
        )  # fmt: skip

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A grant is history once given: revoke it and give another."""
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Grant, form: Any, change: bool) -> None:  # noqa: FBT001  Django's signature
        grants.give(obj, actor=_staff(request))

    @admin.action(description=_("Revoke now"), permissions=["change"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[Grant]) -> None:
        for grant in chosen:
            grants.revoke(grant, actor=_staff(request))


def _staff(request: HttpRequest) -> User:
    """The admin site lets nobody else in."""
    return cast(User, request.user)
