"""Service tokens for Django REST framework."""

from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from quotas.api import bearers
from quotas.api.bearers import Bearer

_KEYWORD = b"bearer"
_PARTS = 2


class ServiceTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer lls_…`, in the header and nowhere else (E9)."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Bearer] | None:
        parts = get_authorization_header(request).split()
        if not parts:
            return None
        if len(parts) != _PARTS or parts[0].lower() != _KEYWORD:
            raise AuthenticationFailed(_("The Authorization header is malformed."))
        bearer = bearers.find(parts[1].decode("latin-1"))
        if bearer is None:
            raise AuthenticationFailed(_("The token is unknown, expired or revoked."))
        return AnonymousUser(), bearer

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="satellites"'


class IsSatellite(BasePermission):
    """Anyone with a live service token; its scopes are checked against what the call names."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, Bearer)


class ServiceTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = ServiceTokenAuthentication
    name = "serviceToken"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A satellite's `lls_…` token."}
