"""Django's lists and forms in the admin, without the scripts that nothing here uses."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.options import IS_POPUP_VAR
from django.http import HttpRequest, HttpResponse

_FOLDER = "admin/js/"
# For slugs that fill themselves in while somebody types: more than half of Django's scripts.
_FOR_SLUGS = ("urlify.js", "prepopulate.js", "vendor/xregexp/")
_OF_LISTS = ("core.js", "actions.js")


class LightPages(admin.ModelAdmin):  # type: ignore[type-arg]
    list_per_page = 50

    @property
    def media(self) -> forms.Media:
        """Django's own list, less those; a form that names more keeps it."""
        named = super().media._js  # type: ignore[attr-defined]  # noqa: SLF001  it has no other name
        return forms.Media(js=[path for path in named if not _is_for_slugs(path)])

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A list in a window of its own answers the form that opened it, by the forms' scripts."""
        if IS_POPUP_VAR not in request.GET:
            scripts = forms.Media(js=[_FOLDER + name for name in _OF_LISTS])
            extra_context = {"media": scripts, **(extra_context or {})}
        return super().changelist_view(request, extra_context)


def light(admin_class: Any) -> Any:
    """The same, whoever wrote it."""
    found = admin_class or admin.ModelAdmin
    return type(found.__name__, (LightPages, found), {"__module__": found.__module__})


def _is_for_slugs(path: str) -> bool:
    return path.removeprefix(_FOLDER).startswith(_FOR_SLUGS)
