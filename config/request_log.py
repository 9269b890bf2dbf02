"""The id of a request, in its answer and every log line about it; what the lines leave out."""

from typing import Any

import structlog
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django_structlog.middlewares import RequestMiddleware
from django_structlog.signals import bind_extra_request_metadata

from billing.redaction import redact
from orgs.clients import client_ip

REQUEST_ID_HEADER = "X-Request-Id"


class RequestLogMiddleware(RequestMiddleware):
    """Callers cannot choose the id: it would let them pass for somebody else's request."""

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        """The context is cleared by django-structlog, so the id is read before."""
        response[REQUEST_ID_HEADER] = structlog.contextvars.get_contextvars()["request_id"]
        super().handle_response(request, response)

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        """Links of mails have their secret in the path."""
        return redact(f"{request.method} {request.get_full_path()}")


@receiver(bind_extra_request_metadata)
def note_the_address(request: HttpRequest, **_signal: Any) -> None:
    """The address that throttles count by; django-structlog would believe any header (E20)."""
    structlog.contextvars.bind_contextvars(ip=client_ip(request))
