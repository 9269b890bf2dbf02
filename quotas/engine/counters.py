"""The only door to Redis: readings for `check`. Nothing read here ever admits a consume.

Per organization one hash, `quota:{<id>}`, with one hash tag, so that a cluster keeps it together:
a field per meter and member, and `!`, the sequence below which readings are void. Behind it stands
one Redis, or a cluster (`redis_cluster`).
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, cast
from uuid import UUID

import structlog
from django.conf import settings
from redis import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from quotas.engine import redis_cluster
from quotas.engine.readings import Reading
from quotas.engine.redis_cluster import Call, Cluster

logger = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 0.05
LOCAL_SECONDS = 1.0  # how long this process believes its own copy
RENEW_SECONDS = 0.6  # before the end, a copy in use is read again behind the callers' backs
KEPT_SECONDS = 600  # in Redis, after the last write
REST_SECONDS = 1.0  # after a failure, so that an outage costs one timeout a second, not one a call
MOST_LOCAL = 50_000
MOST_PAID = 500  # of what is owed, in one round trip

_FLOOR = "!"

# Each takes any number of keys at once: for every key how many values follow, then they.
# Values are `<sequence>|<json>`. What is not of that form, or not a hash, is overwritten.
_STORE = """
local at = 2
for _, key in ipairs(KEYS) do
  local last = at + ARGV[at]
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', key) end
  local floor = tonumber(redis.call('HGET', key, '!') or '') or 0
  for i = at + 1, last, 3 do
    local sequence = tonumber(ARGV[i + 1])
    local present = redis.call('HGET', key, ARGV[i])
    local known = present and tonumber(string.match(present, '^(%d+)|') or '') or -1
    if sequence >= floor and sequence >= known then
      redis.call('HSET', key, ARGV[i], ARGV[i + 1] .. '|' .. ARGV[i + 2])
    end
  end
  redis.call('EXPIRE', key, ARGV[1])
  at = last + 1
end
return #KEYS
"""
_FORGET = """
local at = 2
for _, key in ipairs(KEYS) do
  local sequence = ARGV[at + 1]
  local kind = redis.call('TYPE', key).ok
  local floor = kind == 'hash' and redis.call('HGET', key, '!') or '0'
  if (tonumber(floor) or 0) < tonumber(sequence) then floor = sequence end
  redis.call('DEL', key)
  redis.call('HSET', key, '!', floor)
  redis.call('EXPIRE', key, ARGV[1])
  at = at + 1 + ARGV[at]
end
return #KEYS
"""

Place = tuple[UUID, str, str]  # organization, meter, member
Arguments = list[bytes | str | int]


def client() -> Redis | Cluster:
    """One pool per process; a call that takes longer than 50 ms counts as an outage."""
    return _client_at(settings.REDIS_URL)


@cache
def _client_at(url: str) -> Redis | Cluster:
    connect = Cluster if redis_cluster.is_cluster(url) else Redis.from_url
    return connect(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        decode_responses=False,
    )


def is_alive() -> bool:
    try:
        return bool(client().ping())
    except RedisError:
        return False


def policy() -> dict[str, str]:
    """How this Redis keeps what it holds; empty where it does not say."""
    try:
        found = client().config_get("maxmemory-policy", "appendonly")
    except RedisError:
        return {}
    return {_text(name): _text(value) for name, value in dict(found).items()}


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


class _Local:
    """This process's copy: place → (monotonic deadline, reading)."""

    def __init__(self) -> None:
        self.readings: dict[Place, tuple[float, Reading]] = {}
        # Sequences below which a reading is void: of an organization, of one place.
        self.floors: dict[UUID, int] = {}
        self.overtaken: dict[Place, int] = {}
        # Of what Redis could not be told: it may hold something older, and must forget it.
        self.owed: dict[UUID, int] = {}
        self.rests_until = 0.0
        self.lock = threading.Lock()
        self.ageing: set[Place] = set()
        self.on_ageing: Callable[[], None] = _nobody

    def get(self, place: Place) -> Reading | None:
        found = self.readings.get(place)
        if found is None:
            return None
        left = found[0] - time.monotonic()
        if left < 0 or not found[1].is_current():
            return None
        if left < RENEW_SECONDS and place not in self.ageing:
            self.ageing.add(place)
            self.on_ageing()
        return found[1]

    def put(self, place: Place, reading: Reading) -> bool:
        """False for one that this process knows to be overtaken."""
        with self.lock:
            known = self.readings.get(place)
            if known is not None and known[1].sequence > reading.sequence:
                return False
            floor = max(self.floors.get(place[0], 0), self.overtaken.get(place, 0))
            if self.owed:
                floor = max(floor, self.owed.get(place[0], 0))
            if reading.sequence < floor:
                return False  # read before the change, and on its way since
            self.overtaken.pop(place, None)
            if len(self.readings) >= MOST_LOCAL:
                self.readings.clear()
            if known is not None and known[1] == reading:
                reading = known[1]  # answers made from it stay true
            self.readings[place] = (time.monotonic() + LOCAL_SECONDS, reading)
            return True

    def drop(self, organization: UUID, floor: int) -> None:
        with self.lock:
            if len(self.floors) >= MOST_LOCAL:
                self.floors.clear()
            # Whoever comes late with an older sequence does not revive what a later one made void.
            self.floors[organization] = max(floor, self.floors.get(organization, 0))
            for place in [place for place in self.readings if place[0] == organization]:
                del self.readings[place]

    def owe(self, sequences: Mapping[UUID, int]) -> None:
        with self.lock:
            if len(self.owed) >= MOST_LOCAL:
                self.owed.clear()
            for organization, sequence in sequences.items():
                self.owed[organization] = max(self.owed.get(organization, 0), sequence)
        self.on_ageing()

    def paid(self, sequences: Mapping[UUID, int]) -> None:
        with self.lock:
            for organization, sequence in sequences.items():
                if self.owed.get(organization) == sequence:
                    del self.owed[organization]


def _nobody() -> None:
    """Until somebody renews, copies simply end."""


_local = _Local()


def find(place: Place) -> Reading | None:
    """From this process's copy, else from Redis with one round trip; None means ask PostgreSQL.

    A reading is kept under the member where the limit is per member, else under the
    organization alone.
    """
    reading = at_hand(place)
    if reading is not None:
        return reading
    for home, found in _from_redis(*place):
        if _local.put(home, found):
            return found
    return None


def at_hand(place: Place) -> Reading | None:
    """From this process's copy alone, without waiting for anybody."""
    organization, meter, member = place
    shared = (organization, meter, "")
    for home in (shared, place) if member else (shared,):
        reading = _local.get(home)
        if reading is not None and reading.per_member == bool(home[2]):
            return reading
    return None


def is_at_hand(place: Place, reading: Reading) -> bool:
    """Whether `at_hand` would answer with this very reading, kept at this place."""
    return _local.get(place) is reading


def renew_with(wake: Callable[[], None]) -> None:
    """`wake` is called when a copy in use grows old; `renew` is then due, in another thread."""
    _local.on_ageing = wake


def renew() -> None:
    """Reads again what is in use and about to end, in one round trip; pays what is owed."""
    _pay()
    places = list(_local.ageing)
    _local.ageing.difference_update(places)
    if not places or time.monotonic() < _local.rests_until:
        return
    calls: list[Call] = [
        ("HMGET", _key(organization), _FLOOR, _field(meter, member))
        for organization, meter, member in places
    ]
    for place, answer in zip(places, _ask(calls), strict=True):
        floor, raw = answer or (None, None)
        reading = _parsed(raw, floor)
        if reading is not None and reading.per_member == bool(place[2]):
            _local.put(place, reading)


def is_ageing() -> bool:
    return bool(_local.ageing or _local.owed)


def last_known(place: Place) -> Reading | None:
    """This process's copy even when it is old: its limits may still be the present ones."""
    found = _local.readings.get(place)
    return None if found is None else found[1]


def keep(place: Place, reading: Reading) -> None:
    """In this process only; `store` tells the others."""
    _local.put(place, reading)


def overtake(place: Place, sequence: int) -> None:
    """This process has changed the numbers, but knows no reading that it could bring up to date."""
    organization, meter, _member = place
    with _local.lock:
        if len(_local.overtaken) >= MOST_LOCAL:
            _local.overtaken.clear()
        for home in {(organization, meter, ""), place}:
            _local.readings.pop(home, None)
            _local.overtaken[home] = sequence


def outdate(organization: UUID, sequence: int) -> None:
    """Readings below `sequence` are void: here at once, in Redis within the next round."""
    _local.drop(organization, sequence)
    _local.owe({organization: sequence})


def store(readings: Mapping[Place, Reading]) -> None:
    """Compare-and-set on the head's sequence, so that a slow writer cannot undo a later one.

    One call for all: of redis-py each costs as much CPU as a decision.
    """
    by_organization: dict[UUID, Arguments] = {}
    newest: dict[UUID, int] = {}
    for (organization, meter, member), reading in readings.items():
        arguments = by_organization.setdefault(organization, [])
        arguments += [_field(meter, member), reading.sequence, reading.to_json()]
        newest[organization] = max(newest.get(organization, 0), reading.sequence)
    _tell(_STORE, by_organization, newest)


def forget(organization: UUID, sequence: int) -> None:
    """After a change of limits: readings below `sequence` are void, also those still on the way."""
    _local.drop(organization, sequence)
    _tell(_FORGET, {organization: [sequence]}, {organization: sequence})


def publish(numbers: Mapping[str, tuple[int, int]]) -> None:
    """Plain numbers under keys of a product's own: key → number, and seconds that it lives."""
    if time.monotonic() >= _local.rests_until:
        _ask([("SET", key, number, "EX", life) for key, (number, life) in numbers.items()])


def forget_locally() -> None:
    """Drops this process's copies (a forked child, a test)."""
    _local.readings.clear()
    _local.floors.clear()
    _local.overtaken.clear()
    _local.ageing.clear()
    _local.owed.clear()
    _local.rests_until = 0.0


def stored(organization: UUID) -> dict[tuple[str, str], Reading]:
    """Everything readable that Redis holds, by meter and member: for reconciliation."""
    try:
        found = cast(dict[bytes, bytes], client().hgetall(_key(organization)))
    except RedisError:
        return {}
    readings = {}
    floor = found.pop(_FLOOR.encode(), None)
    for field, raw in found.items():
        reading = _parsed(raw, floor)
        if reading is not None:
            meter, _bar, member = field.decode(errors="replace").partition("|")
            readings[meter, member] = reading
    return readings


def _from_redis(organization: UUID, meter: str, member: str) -> Iterator[tuple[Place, Reading]]:
    if time.monotonic() < _local.rests_until:
        return
    members = ("", member) if member else ("",)
    fields = [_FLOOR, *(_field(meter, name) for name in members)]
    try:
        floor, *found = client().hmget(_key(organization), fields)
    except RedisError as error:
        _failed(error)
        return
    for name, raw in zip(members, found, strict=True):
        reading = _parsed(raw, floor)
        if reading is not None and reading.per_member == bool(name):
            yield (organization, meter, name), reading


def _parsed(raw: bytes | str | None, floor: bytes | str | None) -> Reading | None:
    """Anything but a current reading of our own form is a miss."""
    if not isinstance(raw, bytes):
        return None
    try:
        sequence, _bar, document = raw.partition(b"|")
        reading = Reading.from_json(document)
        if reading.sequence != int(sequence) or reading.sequence < int(floor or 0):
            return None
        return reading if reading.is_current() else None
    except (ValueError, TypeError):
        logger.warning("quotas.reading_unreadable")
        return None


def _ask(calls: Sequence[Call]) -> list[Any]:
    """An answer per call, in one round trip (of a cluster: one per node); None for a miss."""
    try:
        redis = client()
        if isinstance(redis, Cluster):
            return redis.ask(calls)
        with redis.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command(*call)
            answers = pipeline.execute(raise_on_error=False)
        return [_judged(answer) for answer in answers]
    except RedisError as error:
        _failed(error)
        return [None] * len(calls)


def _judged(answer: Any) -> Any:
    if not isinstance(answer, RedisError):
        return answer
    _failed(answer)
    return None


def _tell(script: str, calls: Mapping[UUID, Arguments], newest: Mapping[UUID, int]) -> None:
    """Redis is a convenience. What it could not be told it forgets when it is back: an older
    reading would else be believed until it expires."""
    told = _attempt(script, {_key(organization): values for organization, values in calls.items()})
    if missed := {o: sequence for o, sequence in newest.items() if _key(o) not in told}:
        _local.owe(missed)


def _pay() -> None:
    if not _local.owed:
        return
    with _local.lock:
        owed = dict(list(_local.owed.items())[:MOST_PAID])
    told = _attempt(_FORGET, {_key(o): [sequence] for o, sequence in owed.items()})
    _local.paid({o: sequence for o, sequence in owed.items() if _key(o) in told})


def _attempt(script: str, calls: Mapping[str, Arguments]) -> Collection[str]:
    """Returns the keys of those that were carried out."""
    if time.monotonic() < _local.rests_until:
        return ()
    try:
        redis = client()
        if isinstance(redis, Cluster):  # its keys lie apart
            each = {key: _arguments([values]) for key, values in calls.items()}
            return redis.run(script, _digest(script), each)
        found = _arguments(calls.values())
        try:
            redis.evalsha(_digest(script), len(calls), *calls, *found)
        except NoScriptError:  # a fresh Redis, or one that was flushed
            redis.eval(script, len(calls), *calls, *found)
    except RedisError as error:
        _failed(error)
        return ()
    return calls.keys()


def _arguments(of_keys: Iterable[Arguments]) -> Arguments:
    found: Arguments = [KEPT_SECONDS]
    for values in of_keys:
        found += [len(values), *values]
    return found


@cache
def _digest(script: str) -> str:
    """Redis names a script by its SHA-1; nothing secret hangs on it."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _failed(error: RedisError) -> None:
    """A key that somebody else made is a miss; whatever else is an outage."""
    if isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE"):
        return
    _local.rests_until = time.monotonic() + REST_SECONDS
    logger.warning("quotas.redis_unavailable", error=type(error).__name__)


def _key(organization: UUID) -> str:
    return f"quota:{{{organization}}}"


def _field(meter: str, member: str) -> str:
    return f"{meter}|{member}"


os.register_at_fork(after_in_child=forget_locally)
