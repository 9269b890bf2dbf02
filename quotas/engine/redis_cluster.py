"""Readings on a Redis Cluster, the second half of the door to Redis.

redis-py's own cluster client refuses scripts in a pipeline and asks a dead node ten times over.
Here each node has a plain client; one that fails rests alone, and what it holds is a miss
meanwhile.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import structlog
from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError, NoScriptError, RedisError

logger = structlog.get_logger(__name__)

SCHEMES: Final = ("redis+cluster://", "rediss+cluster://")
LOOK_SECONDS: Final = 1.0  # between two looks at who has which slots
REST_SECONDS: Final = 1.0
_HOPS: Final = 3  # a slot on its way: its old home, its new one, and one that it left again
_PORT: Final = "6379"

Call = tuple[Any, ...]  # a command, its key, its arguments


def is_cluster(url: str) -> bool:
    return url.startswith(SCHEMES)


class Cluster:
    """`redis+cluster://user:password@host:port,host:port`: any of its nodes; the rest is asked."""

    def __init__(self, url: str, **options: Any) -> None:
        scheme, _, rest = url.partition("+cluster://")
        credentials, at, places = rest.rpartition("@")
        places, _, query = places.partition("?")
        self._url = f"{scheme}://{credentials}{at}{{}}{'?' if query else ''}{query}"
        self._seeds = [_with_port(name) for name in places.partition("/")[0].split(",")]
        self._options = options
        self._owners = [""] * REDIS_CLUSTER_HASH_SLOTS
        self._clients: dict[str, Redis] = {}
        self._rests: dict[str, float] = {}
        self._is_stale = True
        self._looked_at = -LOOK_SECONDS
        self._looking = threading.Lock()
        os.register_at_fork(after_in_child=self._forked)

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """An answer per call; None where its node does not answer. One round trip per node."""
        self._look()
        answers: list[Any] = [None] * len(calls)
        waiting: dict[tuple[str, bool], list[int]] = defaultdict(list)
        for number, call in enumerate(calls):
            waiting[self._owners[key_slot(call[1].encode())], False].append(number)
        for _hop in range(_HOPS):
            waiting = self._asked(calls, waiting, answers)
            if not waiting:
                break
        return answers

    def run(self, script: str, digest: str, calls: Mapping[str, Sequence[Any]]) -> set[str]:
        """The script once per key: by its digest, and whole where a node does not know it yet.

        Returns the keys that it ran for; it has to answer something.
        """
        short = {key: ("EVALSHA", key, digest, *values) for key, values in calls.items()}
        answers = dict(zip(short, self.ask(list(short.values())), strict=True))
        unknown = [key for key, answer in answers.items() if isinstance(answer, NoScriptError)]
        if unknown:
            long = [("EVAL", key, script, *calls[key]) for key in unknown]
            answers |= zip(unknown, self.ask(long), strict=True)
        return {key for key, answer in answers.items() if answer is not None}

    def hmget(self, key: str, fields: Sequence[str]) -> list[Any]:
        (found,) = self.ask([("HMGET", key, *fields)])
        return found or [None] * len(fields)

    def hgetall(self, key: str) -> dict[Any, Any]:
        (found,) = self.ask([("HGETALL", key)])
        return found or {}

    def ping(self) -> bool:
        """Every slot has a node, and every node answers."""
        self._look()
        owners = set(self._owners)
        return "" not in owners and all(self._send(name, [("PING",)]) == [True] for name in owners)

    def config_get(self, *names: str) -> dict[Any, Any]:
        """What the nodes say, each setting once; where they differ, both."""
        self._look()
        found: dict[Any, set[str]] = defaultdict(set)
        for owner in set(self._owners) - {""}:
            (said,) = self._send(owner, [("CONFIG GET", *names)])
            for name, value in dict(said or {}).items():
                found[name].add(_text(value))
        return {name: ", ".join(sorted(values)) for name, values in found.items()}

    def _forked(self) -> None:
        """The thread that held the lock is not in the child."""
        self._looking = threading.Lock()

    def _asked(
        self,
        calls: Sequence[Call],
        waiting: Mapping[tuple[str, bool], list[int]],
        answers: list[Any],
    ) -> dict[tuple[str, bool], list[int]]:
        """Fills in answers; returns what has to be asked elsewhere."""
        elsewhere: dict[tuple[str, bool], list[int]] = defaultdict(list)
        for (name, on_its_way), numbers in waiting.items():
            sent = self._send(name, [calls[n] for n in numbers], on_its_way=on_its_way)
            for number, answer in zip(numbers, sent, strict=True):
                if isinstance(answer, AskError):  # MovedError is one too
                    elsewhere[self._redirected(answer, name)].append(number)
                else:
                    answers[number] = answer
        return elsewhere

    def _redirected(self, answer: AskError, name: str) -> tuple[str, bool]:
        host = answer.host or name.rpartition(":")[0]
        target = f"{host}:{answer.port}"
        if isinstance(answer, MovedError):
            self._owners[answer.slot_id] = target
            self._is_stale = True
            return target, False
        return target, True

    def _send(self, name: str, calls: Sequence[Call], *, on_its_way: bool = False) -> list[Any]:
        """Redirections and unknown scripts are answers; every other failure is None."""
        if not name or time.monotonic() < self._rests.get(name, 0.0):
            return [None] * len(calls)
        try:
            with self._client(name).pipeline(transaction=False) as pipeline:
                for call in calls:
                    if on_its_way:
                        pipeline.execute_command("ASKING")
                    pipeline.execute_command(*_as_sent(call))
                found = pipeline.execute(raise_on_error=False)
        except RedisError as error:
            self._rest(name, error)
            return [None] * len(calls)
        return [self._judged(name, answer) for answer in (found[1::2] if on_its_way else found)]

    def _judged(self, name: str, answer: Any) -> Any:
        if not isinstance(answer, Exception) or isinstance(answer, AskError | NoScriptError):
            return answer
        if not str(answer).startswith("WRONGTYPE"):  # somebody else's key: a miss, no outage
            self._rest(name, answer)
        return None

    def _rest(self, name: str, error: Exception) -> None:
        self._rests[name] = time.monotonic() + REST_SECONDS
        self._is_stale = True
        logger.warning("quotas.redis_unavailable", node=name, error=type(error).__name__)

    def _look(self) -> None:
        """Learns who has which slots, after a failure or a redirection, once a second at most."""
        now = time.monotonic()
        if not self._is_stale or now < self._looked_at + LOOK_SECONDS:
            return
        if not self._looking.acquire(blocking=False):
            return  # somebody is at it
        try:
            for name in self._by_rest({*self._clients, *self._seeds}):
                if (owners := self._owners_by(name)) is not None:
                    self._is_stale = False
                    self._owners = owners
                    named = {*owners, *self._seeds}
                    self._clients = {n: c for n, c in self._clients.items() if n in named}
                    return
        finally:
            self._looked_at = time.monotonic()
            self._looking.release()

    def _by_rest(self, names: Iterable[str]) -> list[str]:
        return sorted(names, key=lambda name: self._rests.get(name, 0.0))

    def _owners_by(self, name: str) -> list[str] | None:
        """As this node knows them; None where it does not answer."""
        try:
            ranges = list(self._client(name).execute_command("CLUSTER SLOTS"))
        except RedisError as error:
            logger.warning("quotas.redis_unavailable", node=name, error=type(error).__name__)
            return None
        owners = [""] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, (host, port, *_more), *_replicas in ranges:
            owner = f"{_text(host) or name.rpartition(':')[0]}:{port}"
            owners[first : last + 1] = [owner] * (last + 1 - first)
        return owners

    def _client(self, name: str) -> Redis:
        found = self._clients.get(name)
        if found is None:
            found = self._clients[name] = Redis.from_url(self._url.format(name), **self._options)
        return found


def _as_sent(call: Call) -> Iterator[Any]:
    """A script's key stands behind the number of keys; here every call has it second."""
    if call[0] not in {"EVALSHA", "EVAL"}:
        yield from call
        return
    command, key, script, *arguments = call
    yield from (command, script, 1, key, *arguments)


def _with_port(name: str) -> str:
    return name if ":" in name else f"{name}:{_PORT}"


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
