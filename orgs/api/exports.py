"""Everything that an organization owns, over the API."""

from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orgs import current
from orgs.capabilities import Capability
from orgs.decorators import open_when_locked
from orgs.models import DataExport, User
from orgs.owned_data import exports
from orgs.permissions import capability
from orgs.serializers import OrganizationSerializer
from orgs.views.owned_data import archive_response


class ExportResponse(serializers.ModelSerializer[DataExport]):
    class Meta:
        model = DataExport
        fields = (
            "id", "state", "asked_at", "rows_done", "rows_expected", "size", "sha256",
            "finished_at", "expires_at",
        )  # fmt: skip


class NewestExportResponse(serializers.Serializer[Any]):
    export = ExportResponse(allow_null=True)


@open_when_locked
class Exports(APIView):
    """An archive of everything that the organization owns, as JSON and CSV in one zip.

    POST asks for one, which a worker builds; GET says how far it is, or null where there is none.
    """

    permission_classes = [capability(Capability.ORGANIZATION_EXPORT)]

    @extend_schema(responses=NewestExportResponse)
    def get(self, request: Request) -> Response:
        found = exports.newest(current.organization_for(request))
        return Response(NewestExportResponse({"export": found}).data)

    @extend_schema(request=OrganizationSerializer, responses={202: ExportResponse})
    def post(self, request: Request) -> Response:
        OrganizationSerializer(data=request.data).is_valid(raise_exception=True)
        export = exports.ask(current.organization_for(request), actor=_person(request))
        export.refresh_from_db()
        return Response(ExportResponse(export).data, status=202)


@open_when_locked
class ExportDownload(APIView):
    """The newest archive that is ready. A POST, because the audit trail records who took it."""

    permission_classes = [capability(Capability.ORGANIZATION_EXPORT)]

    @extend_schema(
        request=OrganizationSerializer, responses={(200, "application/zip"): OpenApiTypes.BINARY}
    )
    def post(self, request: Request) -> HttpResponseBase:
        OrganizationSerializer(data=request.data).is_valid(raise_exception=True)
        organization = current.organization_for(request)
        return archive_response(*exports.fetch(organization, actor=_person(request)))


def _person(request: Request) -> User:
    assert isinstance(request.user, User)  # noqa: S101  the permission has seen to it
    return request.user
