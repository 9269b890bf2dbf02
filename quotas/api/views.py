"""The usage calls served by Django REST framework."""

from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from quotas.api import calls, schemas
from quotas.api.authentication import IsSatellite, ServiceTokenAuthentication
from quotas.api.bearers import Bearer
from quotas.api.calls import Call, Reply
from quotas.api.parsers import StrictJSONParser


class SatelliteView(APIView):
    """For services with a token: no session, no CSRF, strict JSON."""

    authentication_classes = [ServiceTokenAuthentication]
    permission_classes = [IsSatellite]
    parser_classes = [StrictJSONParser]

    def answer(self, request: Request, call: Call) -> Response:
        key: str | None = request.headers.get("Idempotency-Key")
        return respond(call(bearer_of(request), asked(request), key))


def bearer_of(request: Request) -> Bearer:
    return cast(Bearer, request.auth)


def asked(request: Request) -> dict[str, Any]:
    """An empty body is an empty object: a void has nothing to say."""
    return request.data if isinstance(request.data, dict) else {}


def respond(reply: Reply) -> Response:
    return Response(reply.body, headers={"Cache-Control": "no-store", **reply.headers})


class Check(SatelliteView):
    """May the organization use so much now? Always 200; nothing is counted or reserved."""

    @extend_schema(**schemas.CHECK)
    def post(self, request: Request) -> Response:
        return self.answer(request, calls.check)


class Authorize(SatelliteView):
    """The check that refuses, for work whose size is known only afterwards; then `record`."""

    @extend_schema(**schemas.AUTHORIZE)
    def post(self, request: Request) -> Response:
        return self.answer(request, calls.authorize)


class Consume(SatelliteView):
    """Counts, durably, or refuses. The same key always gets the same answer."""

    @extend_schema(**schemas.CONSUME)
    def post(self, request: Request) -> Response:
        return self.answer(request, calls.consume)


class Record(SatelliteView):
    """After the fact: always counted, also beyond the limit."""

    @extend_schema(**schemas.RECORD)
    def post(self, request: Request) -> Response:
        return self.answer(request, calls.record)


class Release(SatelliteView):
    """Undoes a consume by its key, once; or gives back an amount of a level."""

    @extend_schema(**schemas.RELEASE)
    def post(self, request: Request) -> Response:
        return self.answer(request, calls.release)


class Level(SatelliteView):
    """Sets a level to what its keeper counted; an older observation is refused."""

    @extend_schema(**schemas.LEVEL)
    def put(self, request: Request) -> Response:
        return self.answer(request, calls.level)


class Reservations(SatelliteView):
    """Holds part of the allowance until commit, void or expiry."""

    @extend_schema(**schemas.RESERVE)
    def post(self, request: Request) -> Response:
        return self.answer(request, calls.reserve)


class Commit(SatelliteView):
    """Counts what was used of a hold and frees the rest."""

    @extend_schema(**schemas.COMMIT)
    def post(self, request: Request, reservation: str) -> Response:
        return respond(calls.commit(bearer_of(request), reservation, asked(request)))


class Void(SatelliteView):
    """Frees a hold."""

    @extend_schema(**schemas.VOID)
    def post(self, request: Request, reservation: str) -> Response:
        return respond(calls.void(bearer_of(request), reservation, asked(request)))


class Batch(SatelliteView):
    """Up to 1,000 events with a result each, in one commit."""

    @extend_schema(**schemas.BATCH)
    def post(self, request: Request) -> Response:
        return self.answer(request, calls.batch)
