"""Stripe's API over HTTP: the gate every /v1/ request passes."""

import asyncio
import json
import logging
import re
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.stripe_simulator import rendering, requests
from tests.stripe_simulator.contract.annotations import API_VERSION
from tests.stripe_simulator.contract.catalogue import Endpoint, find_endpoint
from tests.stripe_simulator.delivery import Courier
from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.faults import Fault, Faults
from tests.stripe_simulator.ids import random_text
from tests.stripe_simulator.routing import HANDLERS, Call, path_values
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

logger = logging.getLogger("stripe_simulator")

TROUBLES = {
    "http_404": (
        404,
        {
            "type": "invalid_request_error",
            "code": "resource_missing",
            "param": "id",
            "message": "No such object (simulated).",
        },
    ),
    "http_429": (
        429,
        {
            "type": "invalid_request_error",
            "code": "rate_limit",
            "message": "Too many requests hit the API too quickly (simulated).",
        },
    ),
    "http_500": (500, {"type": "api_error", "message": "An unknown error occurred (simulated)."}),
}
KEY_PATTERN = re.compile(r"(sk|rk)_test_[A-Za-z0-9_]+")


class Api:
    """Answers one request at a time, as one unit: all of its changes or none."""

    def __init__(self, sim: Simulator, courier: Courier, faults: Faults) -> None:
        self.sim = sim
        self.courier = courier
        self.faults = faults

    async def respond(self, request: Request) -> Response:
        text = (await request.body()).decode("utf-8", "replace")
        method, path = request.method, request.url.path
        if method in {"GET", "DELETE"} and not text:
            text = request.url.query
        fault = self.faults.take(method, path)
        early = await self._before(fault, request)
        if early is not None:
            return early
        status, body, headers = await run_in_threadpool(
            self.answer, method, path, text, dict(request.headers)
        )
        if fault is not None:
            await _after(fault, request)
        answer = _json(status, body, headers)
        if fault is not None and fault.kind == "partial_body":
            return HalfAnAnswer(answer.body, status, dict(answer.headers))
        return answer

    def answer(
        self, method: str, path: str, text: str, headers: Mapping[str, str]
    ) -> tuple[int, Obj, dict[str, str]]:
        """Status, body and headers; everything happens under the simulator's lock."""
        out = {
            "Request-Id": f"req_{random_text(14)}",
            "Stripe-Version": headers.get("stripe-version", API_VERSION),
        }
        key = headers.get("idempotency-key") if method == "POST" else None
        if key:
            out["Idempotency-Key"] = key
        with self.sim.lock:
            self.sim.request = {"id": out["Request-Id"], "idempotency_key": key}
            try:
                status, body, replayed = self._perform(method, path, text, headers, key)
            finally:
                self.sim.request = {"id": None, "idempotency_key": None}
        if replayed:
            out["Idempotent-Replayed"] = "true"
        self.courier.wake()
        return status, body, out

    def _perform(
        self, method: str, path: str, text: str, headers: Mapping[str, str], key: str | None
    ) -> tuple[int, Obj, bool]:
        sim = self.sim
        mark = requests.fingerprint(method, path, text)
        try:
            _check_key(headers.get("authorization", ""))
            earlier = requests.earlier_answer(sim, key, mark) if key else None
            if earlier:
                return (*earlier, True)
            endpoint = find_endpoint(method, path)
            sim.requests[f"{method} {endpoint.path if endpoint else path}"] += 1
            status, body = 200, self._handle(endpoint, method, path, text)
        except StripeError as refused:
            if not refused.keeps_changes:
                sim.store.rollback()
            status, body = refused.status, {"error": refused.error}
            logger.info("%s %s -> %s %s", method, path, status, refused)
            if status != 402:
                sim.store.commit()
                return status, body, False
        except Exception as bug:
            sim.store.rollback()
            logger.exception("%s %s crashed", method, path)
            sim.violations.append(f"{method} {path} crashed: {bug!r}")
            error = {"type": "api_error", "message": f"The simulator has a bug: {bug!r}"}
            return 500, {"error": error}, False
        if key:
            requests.remember_answer(sim, key, mark, status, body)
        sim.store.commit()
        return status, body, False

    def _handle(self, endpoint: Endpoint | None, method: str, path: str, text: str) -> Obj:
        if endpoint is None:
            raise StripeError(
                f"Unrecognized request URL ({method}: {path}). Please see "
                "https://stripe.com/docs or we can help at https://support.stripe.com/.",
                status=404,
            )
        params = requests.decode(endpoint, text)
        handler = HANDLERS.get((method, endpoint.path))
        if handler is None:
            raise StripeError(
                f"The simulator has not built this part of Stripe yet: {method} {endpoint.path}",
                status=501,
                kind="api_error",
                code="simulator_not_implemented",
            )
        expand = params.pop("expand", [])
        values = path_values(endpoint.path, path)
        body = handler(Call(sim=self.sim, path=values, params=params, url=path))
        rendering.expand(self.sim, body, expand)
        if self.sim.settings.strict:
            found = endpoint.violations(body)
            self.sim.violations += [f"{method} {endpoint.path}: {line}" for line in found]
        return body

    async def _before(self, fault: Fault | None, request: Request) -> Response | None:
        """Troubles that keep a request from being processed at all."""
        if fault is None:
            return None
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if fault.kind == "reset_connection":
            await drop_connection(request)
            return Response(status_code=500)
        if fault.kind in TROUBLES:
            status, error = TROUBLES[fault.kind]
            return _json(status, {"error": error}, {})
        return None


class HalfAnAnswer(Response):
    """The head of an answer and half of its body, then silence."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = {"type": "http.response.start", "status": self.status_code}
        await send({**head, "headers": self.raw_headers})
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await drop_connection(Request(scope))


async def drop_connection(request: Request) -> None:
    """Abort the socket under a request, as a proxy that dies would."""
    request.scope["simulator.cycle"].transport.abort()
    await asyncio.sleep(0.05)


async def _after(fault: Fault, request: Request) -> None:
    """Troubles of an answer although the work was done: it comes late, or never."""
    if fault.kind == "late_answer":
        await asyncio.sleep(fault.seconds)
    if fault.kind == "timeout_after_processing":
        await asyncio.sleep(fault.seconds)
        await drop_connection(request)


def _check_key(header: str) -> None:
    scheme, _, key = header.partition(" ")
    if scheme == "Bearer" and KEY_PATTERN.fullmatch(key):
        return
    if not key:
        message = (
            "You did not provide an API key. You need to provide your API key in the "
            "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer sk_test_…')."
        )
        raise StripeError(message, status=401)
    hidden = f"{key[:8]}{'*' * 8}{key[-4:]}"
    raise StripeError(f"Invalid API Key provided: {hidden}", status=401)


def _json(status: int, body: Obj, headers: dict[str, str]) -> Response:
    text = json.dumps(body, indent=2, ensure_ascii=False)
    return Response(text, status, headers, media_type="application/json")
