"""The site, and beside it the emptiest pages that it could have: a frame with nothing in it."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path
from django.views.decorators.cache import never_cache

from config import urls
from orgs.capabilities import Capability
from orgs.decorators import requires
from orgs.requests import OrgRequest

handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500


@never_cache
@requires(Capability.ORGANIZATION_VIEW)
def of_organization(request: OrgRequest, slug: str) -> HttpResponse:
    return render(request, "base.html")


def of_anybody(request: HttpRequest) -> HttpResponse:
    return render(request, "base_entrance.html")


def of_staff(request: HttpRequest) -> HttpResponse:
    frame = admin.site.each_context(request)
    return render(request, "staff/base.html", frame)


urlpatterns = [
    path("o/<slug:slug>/empty/", of_organization),
    path("empty/", of_anybody),
    path("admin/empty/", admin.site.admin_view(of_staff)),
    path("", include("config.urls")),
]
