"""Publishing the catalogue from the admin: the same file, difference and verb as on the console."""

import hashlib
import os
from typing import Final, cast

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from billing.catalog import loading
from billing.catalog.apply import apply
from billing.catalog.comparison import compare
from billing.catalog.diff import Difference, conflicts, differences
from billing.catalog.loading import CatalogInvalid
from billing.catalog.schema import Catalog
from billing.catalog.shop import Shop
from billing.exceptions import BillingError
from billing.gateway import stripe_api
from orgs.audit import Actor
from orgs.models import User
from orgs.staff_site import StaffPage, add_page, render_page

_MAY_PUBLISH: Final = "billing.change_subscriptionplan"


@require_http_methods(["GET", "POST"])
def publish(request: HttpRequest) -> HttpResponse:
    """Reads the file anew: it may be newer than this process."""
    try:
        found = loading.load(loading.path_of(settings.CATALOG))
        rows = differences(compare(found, _shop(), os.environ))
    except (CatalogInvalid, BillingError) as error:
        return _page(request, None, [], str(error))
    if request.method == "POST" and _published(request, found, rows):
        return redirect("admin:publish-catalogue")
    return _page(request, found, rows)


def _page(
    request: HttpRequest, found: Catalog | None, rows: list[Difference], problem: str = ""
) -> HttpResponse:
    return render_page(
        request,
        "staff/publish.html",
        _("Publish the catalogue"),
        found=found,
        file=loading.path_of(settings.CATALOG).name,
        rows=rows,
        conflicts=conflicts(rows),
        digest=_digest(rows),
        problem=problem,
        with_stripe=_shop() is not None,
        may_publish=request.user.has_perm(_MAY_PUBLISH),
    )


def _published(request: HttpRequest, found: Catalog, rows: list[Difference]) -> bool:
    """Only what somebody has seen is applied: another difference is shown first."""
    if not request.user.has_perm(_MAY_PUBLISH):
        messages.error(request, _("You may look, but not publish."))
        return False
    if request.POST.get("digest") != _digest(rows):
        messages.error(request, _("The difference has changed meanwhile. Look at it again."))
        return False
    try:
        applied = apply(found, _shop(), os.environ, actor=Actor.person(cast(User, request.user)))
    except BillingError as error:
        messages.error(request, str(error))
        return False
    loading.forget()
    sentence = _("%(count)s changes applied. Restart the other processes to show new texts.")
    messages.success(request, sentence % {"count": len(applied.differences)})
    return True


def _digest(rows: list[Difference]) -> str:
    return hashlib.sha256("\n".join(map(str, rows)).encode()).hexdigest()


def _shop() -> Shop | None:
    return stripe_api if stripe_api.is_configured() else None


add_page(
    StaffPage(
        route="catalogue/publish/",
        name="publish-catalogue",
        view=publish,
        permission="billing.view_subscriptionplan",
        title=gettext_lazy("Publish the catalogue"),
    )
)
