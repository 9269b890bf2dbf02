"""What schemathesis checks of every answer, for the calls of satellites and those of people."""

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)


def a_forbidden_body_is_refused(context, response, case):
    """A batch says it per event. Of what is no body, the token is always sent, and unknown
    parameters of a query mean nothing."""
    body = case.meta.components.get(ParameterLocation.BODY)
    if body is not None and body.mode.is_negative and not case.path.endswith("/batch"):
        negative_data_rejection(context, response, case)


CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    a_forbidden_body_is_refused,
]


def so_many(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )


def strategies(operation):
    """What the document allows, and what it forbids."""
    for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
        yield operation.as_strategy(generation_mode=mode)
