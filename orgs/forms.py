"""The forms of people and organizations."""

from datetime import date
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from orgs import tokens
from orgs.models import Role
from orgs.names import shows_as_it_is

NEVER = ""
_OPTION = '<option value="{}">{}</option>'
_CHOSEN = '<option value="{}" selected>{}</option>'
_AREAS = (
    "Africa/",
    "America/",
    "Antarctica/",
    "Arctic/",
    "Asia/",
    "Atlantic/",
    "Australia/",
    "Europe/",
    "Indian/",
    "Pacific/",
)


@cache
def time_zones() -> list[tuple[str, str]]:
    """UTC, then places: no abbreviations, which do not say when summer time starts."""
    places = sorted(name for name in available_timezones() if name.startswith(_AREAS))
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in places)]


class LongSelect(forms.Select):
    """Hundreds of choices, written at once: Django renders a template for each of them."""

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        attributes = flatatt(self.build_attrs(self.attrs, {**(attrs or {}), "name": name}))
        options = format_html_join(
            "",
            "{}",
            (
                (format_html(_CHOSEN if key == value else _OPTION, key, label),)
                for key, label in self.choices
            ),
        )
        return format_html("<select{}>{}</select>", attributes, options)


class TeamForm(forms.Form):
    name = forms.CharField(label=_("Name of the team"), max_length=120, validators=[shows_as_it_is])


class DescriptionForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=120, validators=[shows_as_it_is])
    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES)
    time_zone = forms.ChoiceField(label=_("Time zone"), choices=time_zones, widget=LongSelect)


class ProfileForm(forms.Form):
    name = forms.CharField(
        label=_("Your name"), max_length=150, required=False, validators=[shows_as_it_is]
    )
    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES)
    time_zone = forms.ChoiceField(label=_("Time zone"), choices=time_zones, widget=LongSelect)


class SlugForm(forms.Form):
    slug = forms.CharField(label=_("Address"), max_length=63, min_length=3)


class DeleteAccountForm(forms.Form):
    """Typing one's own e-mail address is the confirmation."""

    confirmation = forms.CharField(label=_("Type your e-mail address to confirm"))

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.email = email

    def clean_confirmation(self) -> str:
        if str(self.cleaned_data["confirmation"]).strip().lower() != self.email:
            raise forms.ValidationError(_("This is not your e-mail address."))
        return self.email


class CloseForm(forms.Form):
    """Typing the address is the confirmation."""

    confirmation = forms.CharField(label=_("Type the address of the organization to confirm"))

    def __init__(self, *args: Any, slug: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.slug = slug

    def clean_confirmation(self) -> str:
        if self.cleaned_data["confirmation"] != self.slug:
            raise forms.ValidationError(_("This is not the address of the organization."))
        return self.slug


class DeletionForm(forms.Form):
    """Typing the name is the confirmation."""

    confirmation = forms.CharField(label=_("Type the name of the organization to confirm"))

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name

    def clean_confirmation(self) -> str:
        if " ".join(str(self.cleaned_data["confirmation"]).split()) != " ".join(self.name.split()):
            raise forms.ValidationError(_("This is not the name of the organization."))
        return self.name


class InvitationForm(forms.Form):
    email = forms.EmailField(label=_("E-mail"))
    role = forms.ChoiceField(label=_("Role"))

    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"] = forms.ChoiceField(
            label=_("Role"), choices=[(role.value, role.label) for role in roles]
        )


class TokenForm(forms.Form):
    SCOPES = ((tokens.READ, _("Read")), ("all", _("Read and write")))
    LIFETIMES = (
        ("30", _("30 days")),
        ("90", _("90 days")),
        ("365", _("One year")),
        (NEVER, _("Never")),
    )

    name = forms.CharField(label=_("What it is for"), max_length=80, validators=[shows_as_it_is])
    scope = forms.ChoiceField(label=_("May"), choices=SCOPES)
    days = forms.ChoiceField(
        label=_("Expires after"), choices=LIFETIMES, required=False, initial="90"
    )

    def scopes(self) -> tuple[str, ...]:
        return (tokens.READ,) if self.cleaned_data["scope"] == tokens.READ else tokens.SCOPES

    def lifetime_days(self) -> int | None:
        days = self.cleaned_data["days"]
        return None if days == NEVER else int(days)


class ImpersonationForm(forms.Form):
    reason = forms.CharField(
        label=_("Why"),
        min_length=10,
        max_length=254,
        help_text=_("The people of the organizations read this in their audit trail."),
    )


class AuditFilterForm(forms.Form):
    """All optional; an unreadable value simply filters nothing."""

    action = forms.CharField(label=_("Action"), required=False, max_length=80)
    actor = forms.CharField(label=_("Who"), required=False, max_length=254)
    since = forms.DateField(
        label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )

    def value(self, field: str) -> str:
        return str(self._cleaned().get(field) or "")

    def day(self, field: str) -> date | None:
        found: date | None = self._cleaned().get(field)
        return found

    def _cleaned(self) -> dict[str, Any]:
        self.is_valid()
        return self.cleaned_data
