"""API calls by personal token: `Authorization: Bearer llp_…`, in the header and nowhere else."""

from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from orgs import tokens
from orgs.models import PersonalToken, User

_KEYWORD = "bearer"
_PARTS = 2


class PersonalTokenAuthentication(BaseAuthentication):
    """Service tokens pass by untouched: the calls that accept them have their own check."""

    def authenticate(self, request: Request) -> tuple[User, PersonalToken] | None:
        if _secret_in_url(request):
            raise AuthenticationFailed(
                _("A token in a URL ends up in logs. Send it in the Authorization header.")
            )
        secret = _bearer(request)
        if secret is None or secret.startswith(tokens.SERVICE_PREFIX):
            return None
        token = tokens.find(secret) if secret.startswith(tokens.PERSONAL_PREFIX) else None
        if token is None:
            raise AuthenticationFailed(_("The token is unknown, expired or revoked."))
        _check_scope(request, token)
        tokens.touch(token)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """Makes DRF answer 401 rather than 403 to callers without credentials."""
        return 'Bearer realm="api"'


def _secret_in_url(request: Request) -> bool:
    query = request.META.get("QUERY_STRING", "")
    return tokens.PERSONAL_PREFIX in query or tokens.SERVICE_PREFIX in query


def _bearer(request: Request) -> str | None:
    parts = get_authorization_header(request).split()
    if not parts or parts[0].lower() != _KEYWORD.encode():
        return None
    if len(parts) != _PARTS:
        raise AuthenticationFailed(_("The Authorization header is malformed."))
    try:
        return parts[1].decode("ascii")
    except UnicodeDecodeError:
        raise AuthenticationFailed(_("The Authorization header is malformed.")) from None


def _check_scope(request: Request, token: PersonalToken) -> None:
    needed = tokens.READ if request.method in SAFE_METHODS else tokens.WRITE
    if needed not in token.scopes:
        raise PermissionDenied(_("The token may only read."))
