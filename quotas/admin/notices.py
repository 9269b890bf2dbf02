"""Where satellites hear of changes, and what was sent to them."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from orgs.admin import LookOnly
from orgs.models import User
from quotas.models import NoticeDelivery, NoticeEndpoint, NoticeType
from quotas.notices import addresses, delivery, endpoints, outbox

_EVENTS = [choice for choice in NoticeType.choices if choice[0] != NoticeType.TEST]


class EndpointForm(forms.ModelForm):
    events = forms.TypedMultipleChoiceField(
        choices=_EVENTS, required=False, empty_value=None, widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen means all."),
    )  # fmt: skip

    class Meta:
        model = NoticeEndpoint
        fields = ("satellite", "url", "events", "meters", "organizations")

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"])
        try:
            addresses.check(url)
        except addresses.AddressRefused as error:
            raise forms.ValidationError(str(error)) from error
        return url

    def clean(self) -> dict[str, Any] | None:
        """Empty scopes mean all, as with service tokens."""
        cleaned = super().clean()
        for name in ("events", "meters", "organizations"):
            if cleaned is not None and not cleaned.get(name):
                cleaned[name] = None
        return cleaned


@admin.register(NoticeEndpoint)
class NoticeEndpointAdmin(admin.ModelAdmin):
    """Secrets are shown once, when they are made; nobody can read them afterwards."""

    form = EndpointForm
    list_display = ("satellite", "url", "disabled_at", "failing_since", "failures")
    list_filter = ("satellite", ("disabled_at", admin.EmptyFieldListFilter))
    list_select_related = ("satellite",)
    search_fields = ("satellite__key", "url")
    readonly_fields = ("created_at", "disabled_at", "disabled_reason", "failing_since")
    actions = ("send_test", "rotate", "switch_off", "switch_on")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Switched off, it keeps what was sent to it."""
        return False

    def save_model(
        self,
        request: HttpRequest,
        obj: NoticeEndpoint,
        form: forms.ModelForm,
        change: bool,  # noqa: FBT001  Django's signature
    ) -> None:
        if change:
            obj.save()
            return
        made, secret = endpoints.add(
            obj.satellite,
            obj.url,
            events=obj.events,
            meters=obj.meters,
            organizations=obj.organizations,
            actor=_staff(request),
        )
        obj.pk = made.pk
        obj.refresh_from_db()
        self._show(request, obj, secret)

    @admin.action(description=_("Send a test notice"), permissions=["change"])
    def send_test(self, request: HttpRequest, chosen: QuerySet[NoticeEndpoint]) -> None:
        for endpoint in chosen.select_related("satellite"):
            sent = outbox.put_test(endpoint)
            arrived = delivery.attempt(sent)
            level = messages.SUCCESS if arrived else messages.ERROR
            said = _("It arrived.") if arrived else sent.last_error
            self.message_user(request, f"{endpoint}: {said}", level)

    @admin.action(description=_("Make a new secret"), permissions=["change"])
    def rotate(self, request: HttpRequest, chosen: QuerySet[NoticeEndpoint]) -> None:
        for endpoint in chosen.select_related("satellite"):
            secret = endpoints.rotate(endpoint, actor=_staff(request))
            self._show(request, endpoint, secret)

    @admin.action(description=_("Switch off"), permissions=["change"])
    def switch_off(self, request: HttpRequest, chosen: QuerySet[NoticeEndpoint]) -> None:
        for endpoint in chosen.select_related("satellite"):
            endpoints.disable(endpoint, "Switched off by hand.", actor=_staff(request))

    @admin.action(description=_("Switch on"), permissions=["change"])
    def switch_on(self, request: HttpRequest, chosen: QuerySet[NoticeEndpoint]) -> None:
        for endpoint in chosen.select_related("satellite"):
            endpoints.enable(endpoint, actor=_staff(request))

    def _show(self, request: HttpRequest, endpoint: NoticeEndpoint, secret: str) -> None:
        sentence = _("The secret of %(endpoint)s, shown this once: %(secret)s") % {
            "endpoint": endpoint,
            "secret": secret,
        }
        self.message_user(request, sentence, messages.WARNING)


@admin.register(NoticeDelivery)
class NoticeDeliveryAdmin(LookOnly, admin.ModelAdmin):
    list_display = (
        "type", "organization", "endpoint", "sequence", "state", "attempts", "last_status",
        "created_at", "sent_at",
    )  # fmt: skip
    list_filter = ("state", "type", "endpoint__satellite")
    list_select_related = ("organization", "endpoint__satellite")
    search_fields = ("organization__slug", "id", "endpoint__satellite__key")
    ordering = ("-created_at",)
    actions = ("send_again",)
    show_full_result_count = False

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("quotas.change_noticedelivery")

    @admin.action(description=_("Send again"), permissions=["act"])
    def send_again(self, request: HttpRequest, chosen: QuerySet[NoticeDelivery]) -> None:
        delivery.send_again(list(chosen.values_list("pk", flat=True)))
        self.message_user(request, _("They leave within half a minute."))


def _staff(request: HttpRequest) -> User:
    """The admin site lets nobody else in."""
    return cast(User, request.user)
