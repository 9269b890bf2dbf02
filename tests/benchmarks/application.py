"""The servers under measurement: ours with the ceiling, and one with what people would pick.

`application` is ours, in the event loop as it is shipped; its `echo` is the ceiling, and its code
stays as it is, so that ratios of different days compare. `others` has a thread per request, where
blocking code is fastest, and an echo of its own.
"""

import os
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connections, transaction
from django.db.models import F
from limits import RateLimitItemPerMonth
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter

from config.rsgi import application as ours
from config.wsgi import application as in_threads
from quotas.rsgi import Exchanged, Scope
from tests.benchmarks.models import Counter

Environ = dict[str, Any]
WSGI = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Decide = Callable[[UUID, int], bool]

TOKENS = {f"Bearer lls_{os.environ.get('BENCH_TOKEN', '')}": 1}
MONTHLY = RateLimitItemPerMonth(10**12)


async def echo(scope: Scope, protocol: Exchanged) -> None:
    """Parses the body, checks the token, answers: nothing can be decided with less."""
    raw = await protocol()
    if scope.headers.get("authorization") not in TOKENS:
        protocol.response_bytes(401, [], b"")
        return
    body = orjson.loads(raw)
    protocol.response_bytes(200, [("content-type", "application/json")], orjson.dumps(body))


def threaded_echo(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    raw = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    if environ.get("HTTP_AUTHORIZATION") not in TOKENS:
        start_response("401 Unauthorized", [])
        return [b""]
    body = orjson.loads(raw)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [orjson.dumps(body)]


def lean(decide: Decide) -> WSGI:
    """The same kind of endpoint around another way to count."""

    def serve(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        raw = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        if environ.get("HTTP_AUTHORIZATION") not in TOKENS:
            start_response("401 Unauthorized", [])
            return [b""]
        body = orjson.loads(raw)
        try:
            allowed = decide(UUID(body["organization"]), body["amount"])
        finally:
            for connection in connections.all(initialized_only=True):
                connection.close_if_unusable_or_obsolete()
        status = "200 OK" if allowed else "429 Too Many Requests"
        start_response(status, [("Content-Type", "application/json")])
        return [orjson.dumps({"allowed": allowed, "meter": body["meter"]})]

    return serve


def select_for_update(organization: UUID, amount: int) -> bool:
    with transaction.atomic():
        counter = Counter.objects.select_for_update().get(pk=organization)
        if counter.used + amount > counter.allowance:
            return False
        counter.used += amount
        counter.save(update_fields=["used"])
    return True


def conditional_update(organization: UUID, amount: int) -> bool:
    within = Counter.objects.filter(pk=organization, used__lte=F("allowance") - amount)
    return within.update(used=F("used") + amount) == 1


@cache
def limiter() -> FixedWindowRateLimiter:
    return FixedWindowRateLimiter(RedisStorage(settings.REDIS_URL))


def limits_on_redis(organization: UUID, amount: int) -> bool:
    """Not durable, and counts what it refuses."""
    return limiter().hit(MONTHLY, str(organization), cost=amount)


OTHERS: dict[str, WSGI] = {
    "/bench/echo": threaded_echo,
    "/bench/select-for-update": lean(select_for_update),
    "/bench/conditional-update": lean(conditional_update),
    "/bench/limits": lean(limits_on_redis),
}


def others(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    other = OTHERS.get(environ["PATH_INFO"])
    return (other or in_threads)(environ, start_response)


class Application:
    """Ours, with the ceiling in front."""

    def __init__(self) -> None:
        self.__rsgi_init__ = ours.__rsgi_init__
        self.__rsgi_del__ = ours.__rsgi_del__

    async def __rsgi__(self, scope: Scope, protocol: Exchanged) -> None:
        if scope.path == "/bench/echo":
            await echo(scope, protocol)
        else:
            await ours.__rsgi__(scope, protocol)


application = Application()
