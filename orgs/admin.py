"""Staff's view of people and organizations: to look and to switch on and off, never to rewrite.

Members, roles and slugs change through their verbs alone, which lock, audit and tell billing.
"""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from axes.models import AccessFailureLog, AccessLog
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from orgs import audit
from orgs.models import (
    AuditEntry,
    DataExport,
    Deletion,
    Impersonation,
    Invitation,
    Membership,
    Organization,
    PersonalToken,
    SlugHistory,
    User,
)
from orgs.views import impersonation  # noqa: F401  its page of the admin


class LookOnly:
    """No adding, no changing, no deleting, whatever the permissions say (E11)."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MembershipsOf(LookOnly, admin.TabularInline):
    model = Membership
    extra = 0
    readonly_fields = ("joined_at", "last_active_at")


class MembershipsOfPerson(MembershipsOf):
    fields = ("organization", "role", "joined_at", "last_active_at")


class MembershipsOfOrganization(MembershipsOf):
    fields = ("user", "role", "joined_at", "last_active_at")


class SlugsOfOrganization(LookOnly, admin.TabularInline):
    model = SlugHistory
    extra = 0
    fields = ("slug", "taken_at")


class PersonCreationForm(AdminUserCreationForm):
    class Meta:
        model = User
        fields = ("email",)

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


@admin.register(User)
class PersonAdmin(UserAdmin):
    """Deactivate instead of deleting: the ledger and the audit trail name the person."""

    ordering = ("email",)
    list_display = ("email", "name", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("email", "name")
    readonly_fields = ("email", "date_joined", "last_login", "as_seen_by_them")
    fieldsets = (
        (None, {"fields": ("email", "name", "language", "time_zone")}),
        (_("Access"), {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        (_("Dates"), {"fields": ("date_joined", "last_login")}),
        (_("Support"), {"fields": ("as_seen_by_them",)}),
    )
    filter_horizontal = ("groups",)
    add_form = PersonCreationForm
    add_fieldsets = ((None, {"fields": ("email", "usable_password", "password1", "password2")}),)
    inlines = (MembershipsOfPerson,)

    @admin.display(description=_("the product"))
    def as_seen_by_them(self, person: User) -> str:
        url = reverse("admin:impersonate", kwargs={"person": person.pk})
        return format_html('<a href="{}">{}</a>', url, _("See it as they do"))

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        return self.readonly_fields if obj is not None else ()

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        return self.inlines if obj is not None else ()

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def save_model(
        self,
        request: HttpRequest,
        obj: User,
        form: forms.ModelForm,
        change: bool,  # noqa: FBT001  Django's signature
    ) -> None:
        """A change of access belongs on the trail, not only in the admin's own log."""
        watched = ("is_active", "is_staff", "is_superuser")
        before = {name: form.initial.get(name) for name in watched}
        super().save_model(request, obj, form, change)
        after = {name: getattr(obj, name) for name in watched}
        if change and before != after:
            actor = request.user if isinstance(request.user, User) else None
            audit.record(
                "person.access_changed",
                organization=None,
                actor=actor,
                target=obj.email,
                before=before,
                after=after,
            )


@admin.register(Organization)
class OrganizationAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("name", "slug", "kind", "created_at", "closed_at")
    list_filter = ("kind", ("closed_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "slug", "id", "memberships__user__email")
    inlines = (MembershipsOfOrganization, SlugsOfOrganization)


@admin.register(Membership)
class MembershipAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("user", "organization", "role", "joined_at", "last_active_at")
    list_filter = ("role",)
    list_select_related = ("user", "organization")
    search_fields = ("user__email", "organization__name", "organization__slug")


@admin.register(Invitation)
class InvitationAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("email", "organization", "role", "created_at", "expires_at", "accepted_at")
    list_select_related = ("organization",)
    search_fields = ("email", "organization__slug")
    exclude = ("token_hash",)


@admin.register(PersonalToken)
class PersonalTokenAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("prefix", "user", "name", "created_at", "last_used_at", "revoked_at")
    list_select_related = ("user",)
    search_fields = ("prefix", "user__email")
    exclude = ("token_hash",)


for theirs in (EmailAddress, AccessLog, AccessFailureLog, Authenticator):
    admin.site.unregister(theirs)


@admin.register(EmailAddress)
class EmailAddressAdmin(LookOnly, admin.ModelAdmin):
    """An address that staff could confirm would open the account to whoever reads its mail."""

    list_display = ("email", "user", "verified", "primary")
    list_select_related = ("user",)
    search_fields = ("email", "user__email")


@admin.register(AccessLog)
class AccessLogAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("attempt_time", "logout_time", "ip_address", "username", "path_info")
    search_fields = ("ip_address", "username")
    date_hierarchy = "attempt_time"


@admin.register(AccessFailureLog)
class AccessFailureLogAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("attempt_time", "locked_out", "ip_address", "username", "path_info")
    search_fields = ("ip_address", "username")
    date_hierarchy = "attempt_time"


@admin.register(Authenticator)
class AuthenticatorAdmin(LookOnly, admin.ModelAdmin):
    """Staff take a lost second factor away; they see no seed and set up none."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_select_related = ("user",)
    list_filter = ("type",)
    search_fields = ("user__email",)
    exclude = ("data",)
    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)

    def delete_model(self, request: HttpRequest, obj: Authenticator) -> None:
        super().delete_model(request, obj)
        audit.record(
            "person.second_factor_removed",
            organization=None,
            actor=request.user if isinstance(request.user, User) else None,
            target=obj.user.email,
            before={"type": obj.type},
        )


@admin.register(Deletion)
class DeletionAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("pk", "asked_at", "due_at", "attempts", "last_error", "finished_at")
    list_filter = (("finished_at", admin.EmptyFieldListFilter),)
    exclude = ("salt",)


@admin.register(DataExport)
class DataExportAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("organization", "state", "asked_at", "attempts", "size", "expires_at")
    list_select_related = ("organization",)
    list_filter = ("state",)


@admin.register(Impersonation)
class ImpersonationAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("staff", "person", "reason", "started_at", "ends_at", "ended_at")
    list_select_related = ("staff", "person")
    search_fields = ("staff__email", "person__email", "reason")


@admin.register(AuditEntry)
class AuditEntryAdmin(LookOnly, admin.ModelAdmin):
    list_display = ("at", "organization", "actor_label", "action", "target", "request_id")
    list_filter = ("actor_kind",)
    list_select_related = ("organization",)
    search_fields = ("action", "actor_label", "target", "request_id")
    date_hierarchy = "at"
    show_full_result_count = False
