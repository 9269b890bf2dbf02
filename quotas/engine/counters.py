"""The only door to Redis. Nothing read here ever admits a consume."""

from functools import cache

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

TIMEOUT_SECONDS = 0.05


@cache
def client() -> Redis:
    """One pool per process; a call that takes longer than 50 ms counts as an outage."""
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        decode_responses=False,
    )


def is_alive() -> bool:
    try:
        return bool(client().ping())
    except RedisError:
        return False
