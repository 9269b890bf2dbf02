"""`/api/v1/export…`."""

from django.urls import path

from orgs.api import exports

urlpatterns = [
    path("export", exports.Exports.as_view(), name="export"),
    path("export/download", exports.ExportDownload.as_view(), name="export-download"),
]
