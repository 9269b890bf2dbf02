"""Traces over OTLP, for who collects them. Imported only where an endpoint is set.

Spans say which route, which statement and how long, and never with which values: an attribute that
is not named here does not leave, and of an exception only its type does.
"""

from collections.abc import Sequence
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, Status

from config.request_log import REQUEST_ID_HEADER

# Statements have placeholders; parameters are never captured.
_KEPT: Final = frozenset(
    {
        "celery.action", "celery.state", "celery.task_name",
        "db.name", "db.namespace", "db.operation", "db.operation.name", "db.query.text",
        "db.redis.args_length", "db.statement", "db.system", "db.system.name",
        "error.type", "exception.type",
        "http.method", "http.request.method", "http.response.status_code", "http.route",
        "http.status_code",
        "ledgerline.organization", "ledgerline.request_id",
        "messaging.destination", "messaging.destination.name", "messaging.message.id",
        "messaging.message_id",
    }
)  # fmt: skip


def start() -> None:
    """Instruments Django, psycopg, Celery and Redis, before any of them serves."""
    provider = TracerProvider(resource=Resource.create({"service.name": "ledgerline"}))
    provider.add_span_processor(BatchSpanProcessor(Discreet(OTLPSpanExporter())))
    trace.set_tracer_provider(provider)
    DjangoInstrumentor().instrument(response_hook=_name_the_request)
    PsycopgInstrumentor().instrument(capture_parameters=False)
    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]
    RedisInstrumentor().instrument()


def _name_the_request(span: Span | None, request: HttpRequest, response: HttpResponse) -> None:
    """The same id as in the answer and in the log."""
    if span is None or not span.is_recording():
        return
    span.set_attribute("ledgerline.request_id", response.get(REQUEST_ID_HEADER, ""))
    organization = getattr(request, "organization", None)
    if organization is not None:
        span.set_attribute("ledgerline.organization", str(organization.pk))


class Discreet(SpanExporter):
    """Hands on copies of the spans that hold only what is kept."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_copied(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _copied(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_kept(span.attributes),
        events=[Event(each.name, _kept(each.attributes), each.timestamp) for each in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _kept(attributes: Any) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if name in _KEPT}
