"""The address a request came from: what throttles count by."""

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_ip(request: HttpRequest) -> str:
    """The entry that the outermost trusted proxy wrote; callers can forge only those left of it.

    Without trusted proxies, or with a header that is no address, the peer itself (E20).
    """
    trusted: int = settings.TRUSTED_PROXIES
    forwarded = request.headers.get("x-forwarded-for", "").split(",")
    if trusted and len(forwarded) >= trusted and (found := _address(forwarded[-trusted])):
        return found
    return _address(request.META.get("REMOTE_ADDR", "")) or "127.0.0.1"


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return ""
