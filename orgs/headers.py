"""What every answer says to a browser, whoever made it: a page, a thread of the server, the loop.

`HeadersMiddleware` stands outermost, so that an answer of another middleware (a host that is not
ours, a redirect to https) carries them too; what a view or a middleware said already stays. Files
say themselves how long they may be kept; whatever else is made for one person at one moment (E24).
"""

from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

_EVERYWHERE: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store, private",
}


class HeadersMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in _EVERYWHERE.items():
            response.setdefault(name, value)
        return response


def without_a_page() -> list[tuple[str, str]]:
    """For answers that no middleware sees. Where plain HTTP is sent away, callers came by TLS."""
    found = [*_EVERYWHERE.items()]
    if settings.SECURE_SSL_REDIRECT and settings.SECURE_HSTS_SECONDS:
        found.append(("Strict-Transport-Security", _strict_transport()))
    return found


def _strict_transport() -> str:
    subdomains = "; includeSubDomains" if settings.SECURE_HSTS_INCLUDE_SUBDOMAINS else ""
    preload = "; preload" if settings.SECURE_HSTS_PRELOAD else ""
    return f"max-age={settings.SECURE_HSTS_SECONDS}{subdomains}{preload}"
