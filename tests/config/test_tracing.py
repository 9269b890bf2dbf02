"""Traces: a request with its statements where a collector is set, and nothing at all elsewhere."""

import gzip
import http.server
import subprocess
import sys
import threading
import urllib.parse
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests import children, processes

SECRET_IN_A_LINK = "3-c0ffee-secret-of-a-mail"
SECRET_IN_A_QUERY = "gone-with-the-query"


class Collector(http.server.ThreadingHTTPServer):
    """Takes OTLP over HTTP, as any collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiving)
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Receiving(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        packed = self.headers.get("Content-Encoding") == "gzip"
        self.server.bodies.append(gzip.decompress(body) if packed else body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        """Quiet."""


@contextmanager
def collecting():
    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        collector.shutdown()
        thread.join()
        collector.server_close()


ASK = f"""
import django
django.setup()
from django.test import Client
client = Client()
print(client.get("/readyz?word={SECRET_IN_A_QUERY}").status_code)
print(client.get("/accounts/password/reset/key/{SECRET_IN_A_LINK}/").status_code)
print(client.post("/accounts/login/", {{"login": "ann@example.com", "password": "hunter2hunter2"}})
      .status_code)
from opentelemetry import trace
trace.get_tracer_provider().force_flush()
"""


def run(program: str, **changes: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=processes.ROOT,
        env=processes.environment(LOG_LEVEL="ERROR", **children.measured(), **changes),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.django_db(transaction=True)
def test_a_request_is_one_trace_with_its_statements_and_none_of_its_values():
    with collecting() as collector:
        run(ASK, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)

    sent = [ExportTraceServiceRequest.FromString(body) for body in collector.bodies]
    spans = [
        span
        for each in sent
        for resource in each.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    roots = {span.trace_id: span for span in spans if not span.parent_span_id}
    login = next(span for span in roots.values() if "login" in span.name)
    inside = [span for span in spans if span.trace_id == login.trace_id and span is not login]
    said = [(each.key, each.value.string_value) for span in spans for each in span.attributes]
    statements = {value for name, value in said if name == "db.statement"}
    named = dict(said)
    everything = b"".join(collector.bodies) + urllib.parse.unquote_to_bytes(str(spans))
    assert {"POST", "GET"} <= {span.name.split()[0] for span in roots.values()}
    assert any("SELECT" in span.name for span in inside)
    assert any("%s" in statement for statement in statements)
    assert len(named["ledgerline.request_id"]) == 36
    for secret in (SECRET_IN_A_LINK, SECRET_IN_A_QUERY, "ann@example.com", "hunter2"):
        assert secret.encode() not in everything


def test_without_an_endpoint_nothing_of_it_is_loaded():
    """This very process has none."""
    assert "config.tracing" not in sys.modules
    assert "opentelemetry.instrumentation.django" not in sys.modules
