"""The client of Ledgerline for satellites: this one file and Python's standard library. Copy it.

    client = Client("https://billing.example.com", token, organization="ha-long")
    client.consume("ai_queries", member=user_id)       # raises Refused, with a sentence
    with client.reserve("ai_queries", 500) as hold:    # voided unless committed
        hold.commit(spent)

Every call that counts carries an idempotency key and is repeated with the same key, so that no
retry counts twice. While Ledgerline is away, a meter whose policy is `refuse` raises Unavailable;
one whose policy is `spool` is written to a file on this machine and replayed, in order, later.
"""

import argparse
import base64
import contextlib
import fcntl
import hashlib
import hmac
import http.client
import json
import logging
import os
import random
import ssl
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal, TextIO
from urllib.parse import urlsplit

Policy = Literal["refuse", "spool"]

logger = logging.getLogger("ledgerline.client")

API: Final = "/api/v1/usage"
_TRY_AGAIN: Final = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)
_REST_SECONDS: Final = (
    5.0  # after an outage was seen, before the next spooled use tries the network
)
_LONGEST_PAUSE: Final = 5.0
_MOST_SIGNATURES: Final = 10
_SPOOL_LIMIT: Final = 64 * 1024 * 1024
_REFUSALS: Final = frozenset(
    {"quota_exceeded", "account_locked", "payment_required", "feature_unavailable"}
)


class LedgerlineError(Exception):
    """`code` is for programs; the text is a sentence for a person."""

    def __init__(self, sentence: str, *, status: int = 0, code: str = "", **body: Any) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.body = body


class Refused(LedgerlineError):
    """A limit, a lock or the plan says no. Show the sentence; `answer` has the numbers."""

    def __init__(self, sentence: str, *, retry_after: float | None = None, **body: Any) -> None:
        super().__init__(sentence, **body)
        self.answer = Answer.of(body | {"allowed": False})
        self.retry_after = retry_after  # seconds; None where waiting does not help

    @property
    def upgrade_url(self) -> str:
        return self.answer.upgrade_url


class Unavailable(LedgerlineError):
    """No answer after all retries. What was asked may have happened: the same key finds out."""


@dataclass(frozen=True)
class Answer:
    """None as limit or remaining means unlimited. `spooled`: kept here, counted later."""

    allowed: bool
    meter: str = ""
    reason: str | None = None
    plan: str = ""
    used: int = 0
    held: int = 0
    limit: int | None = None
    remaining: int | None = None
    overage: int = 0
    resets_at: str | None = None
    upgrade_url: str = ""
    enforcement: str = ""
    event_id: str | None = None
    key: str = ""
    spooled: bool = False
    replayed: bool = False

    @classmethod
    def of(cls, body: Mapping[str, Any], **more: Any) -> "Answer":
        known = {name: body[name] for name in cls.__dataclass_fields__ if name in body}
        return cls(**{"allowed": True} | known | more)


@dataclass
class Reservation:
    """Held until `commit` or `void`; leaving the `with` block without a commit voids it."""

    client: "Client"
    id: str | None  # None where nothing had to be held
    answer: Answer
    expires_at: str | None = None
    ended: bool = field(default=False, init=False)

    def commit(self, amount: int) -> Answer | None:
        """Counts what was really used and frees the rest."""
        if self.id is None:
            return None
        found = self.client.call("POST", f"{API}/reservations/{self.id}/commit", {"amount": amount})
        self.ended = True
        return Answer.of(found)

    def void(self) -> None:
        if self.id is not None and not self.ended:
            self.client.call("POST", f"{API}/reservations/{self.id}/void", {})
        self.ended = True

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.ended:
            return
        try:
            self.void()
        except LedgerlineError:
            if kind is None:
                raise
            logger.warning("the reservation %s expires by itself", self.id)


@dataclass
class Client:
    """Safe to share between threads; connections are kept open and used again.

    `when_away` is one policy for all meters, or one per meter. For meters that it does not name
    `learn` asks for the catalogue's; else they refuse.
    """

    url: str
    token: str = field(repr=False)
    organization: str = ""
    timeout: float = 2.0
    retries: int = 3
    spool: str | os.PathLike[str] | None = None
    when_away: Policy | Mapping[str, Policy] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = urlsplit(self.url)
        if place.scheme not in {"http", "https"} or not place.hostname:
            raise ValueError(f"{self.url!r} is no http(s) URL")
        self._place = place
        # Appending and popping are atomic: threads share what is idle.
        self._idle: list[http.client.HTTPConnection] = []
        self._spool = None if self.spool is None else Spool(Path(self.spool))
        self._rests_until = 0.0
        self._learned: dict[str, Policy] = {}

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # --- Questions ----------------------------------------------------------------------------

    def check(
        self, meter: str, amount: int = 1, *, member: str = "", organization: str = ""
    ) -> Answer:
        """May this be used? Counts nothing. While away, a meter that is spooled says yes."""
        return self._question("check", self._asked(meter, amount, member, organization))

    def authorize(
        self, meter: str, amount: int = 1, *, member: str = "", organization: str = ""
    ) -> Answer:
        """The check that raises Refused, for work whose size is known only afterwards."""
        return self._question("authorize", self._asked(meter, amount, member, organization))

    def _question(self, verb: str, asked: dict[str, Any]) -> Answer:
        meter = asked["meter"]
        trusting = self._policy(meter) == "spool"
        unknown = Answer(allowed=True, meter=meter, reason="unavailable")
        if trusting and time.monotonic() < self._rests_until:
            return unknown
        try:
            return Answer.of(self._post(verb, asked))
        except Unavailable:
            if not trusting:
                raise
            self._rests_until = time.monotonic() + _REST_SECONDS
            return unknown

    def learn(self) -> Mapping[str, Policy]:
        """What the catalogue says of every meter while Ledgerline is away; ask when you start."""
        found = self.call("GET", f"/api/v1/organizations/{self.organization}/usage", {})
        self._learned = {row["meter"]: row["when_away"] for row in found["meters"]}
        return self._learned

    # --- Acts ---------------------------------------------------------------------------------

    def consume(self, meter: str, amount: int = 1, **details: Any) -> Answer:
        """Counts, or raises Refused. Details: key, member, organization, dimensions."""
        return self._use("consume", meter, amount, details)

    def record(self, meter: str, amount: int = 1, **details: Any) -> Answer:
        """After the fact: always counted. Details: those of consume, and occurred_at."""
        return self._use("record", meter, amount, details)

    def release(self, key: str, *, organization: str = "") -> Answer:
        """Undoes the consume with this key, once."""
        asked = {"organization": organization or self.organization, "idempotency_key": key}
        return Answer.of(self._post("release", asked))

    def release_amount(
        self, meter: str, amount: int, *, member: str = "", organization: str = "", key: str = ""
    ) -> Answer:
        """Gives back part of a level."""
        asked = self._asked(meter, amount, member, organization)
        return Answer.of(self._post("release", asked | {"idempotency_key": key or new_key()}))

    def level(
        self, meter: str, value: int, *, observed_at: datetime | None = None, organization: str = ""
    ) -> Answer:
        """Sets a level to what this service counted itself."""
        at = observed_at or datetime.now(UTC)  # noqa: TID251  no Django here
        asked = {
            "organization": organization or self.organization,
            "meter": meter,
            "value": value,
            "observed_at": at.isoformat(),
        }
        return Answer.of(self.call("PUT", f"{API}/level", asked))

    def reserve(
        self, meter: str, amount: int, *, expires_in: int = 900, **details: Any
    ) -> Reservation:
        """Holds part of the allowance, or raises Refused. Details as for consume."""
        key = details.pop("key", "") or new_key()
        asked = self._detailed(meter, amount, details) | {"expires_in": expires_in}
        found = self._post("reservations", asked | {"idempotency_key": key})
        answer = Answer.of(found, key=key)
        return Reservation(self, found.get("id"), answer, found.get("expires_at"))

    # --- The spool ----------------------------------------------------------------------------

    @property
    def spooled(self) -> int:
        """How many uses wait on this machine."""
        return 0 if self._spool is None else self._spool.waiting()

    def replay(self) -> int:
        """Sends what was spooled, oldest first; returns how many. Raises Unavailable while away.

        Only one thread and process replays at a time; for the others it is 0.
        """
        if self._spool is None:
            return 0
        sent = 0
        with self._spool.replaying() as mine:
            while mine and not self._spool.emptied():
                for entry in self._spool.entries():
                    self._send_again(entry)
                    self._spool.done(entry)
                    sent += 1
        return sent

    def _send_again(self, entry: "Entry") -> None:
        """A use that the server will never take is set aside: it must not hold up the others."""
        try:
            if entry.doubtful:
                self._settle_doubt(entry)
            else:
                self.call("POST", f"{API}/record", entry.body)
        except Unavailable:
            raise
        except LedgerlineError as error:
            if error.status in {0, HTTPStatus.UNAUTHORIZED}:
                raise  # a wrong token is put right, and then all of it counts
            if self._spool is not None:
                self._spool.reject(entry, error)

    def _settle_doubt(self, entry: "Entry") -> None:
        """The consume may have arrived before the answer was lost: its own key knows."""
        asked = {name: value for name, value in entry.body.items() if name != "occurred_at"}
        try:
            self.call("POST", f"{API}/consume", asked)
        except Refused:
            # It was used all the same: recorded under a key that follows from the first.
            after = entry.body | {"idempotency_key": f"{asked['idempotency_key']}.after"}
            self.call("POST", f"{API}/record", after)

    def _use(self, verb: str, meter: str, amount: int, details: dict[str, Any]) -> Answer:
        key = details.pop("key", "") or new_key()
        occurred = details.pop("occurred_at", None)
        asked = self._detailed(meter, amount, details) | {"idempotency_key": key}
        if occurred is not None:
            asked["occurred_at"] = occurred.isoformat()
        spools = self._policy(meter) == "spool" and self._spool is not None
        if spools and not self._is_back():
            return self._keep(asked, doubtful=False)
        try:
            found = self._post(verb, asked)
        except Unavailable as error:
            if not spools:
                raise
            self._rests_until = time.monotonic() + _REST_SECONDS
            # A record may be sent again as it is; a consume that arrived must be asked after.
            return self._keep(asked, doubtful=verb == "consume" and bool(error.body.get("sent")))
        return Answer.of(found, key=key)

    def _is_back(self) -> bool:
        """Whether to try the network. What waits goes first, so that the order is kept."""
        if time.monotonic() < self._rests_until:
            return False
        try:
            self.replay()
        except Unavailable:
            self._rests_until = time.monotonic() + _REST_SECONDS
        return not self.spooled

    def _keep(self, asked: dict[str, Any], *, doubtful: bool) -> Answer:
        if self._spool is None:
            raise Unavailable("Ledgerline is away and there is no spool.")
        now = datetime.now(UTC)  # noqa: TID251  no Django here
        body = {"occurred_at": now.isoformat()} | asked
        self._spool.append(body, doubtful=doubtful)
        return Answer(
            allowed=True, meter=asked["meter"], key=asked["idempotency_key"], spooled=True
        )

    def _policy(self, meter: str) -> Policy:
        if isinstance(self.when_away, str):
            return self.when_away
        return self.when_away.get(meter) or self._learned.get(meter, "refuse")

    # --- HTTP ---------------------------------------------------------------------------------

    def call(self, method: str, path: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON answer. Repeats what got none, with the same body and so the same key."""
        raw = b"" if method == "GET" else json.dumps(asked).encode()
        sent = False
        reason = ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(min(0.1 * 2**attempt * random.uniform(0.5, 1.5), _LONGEST_PAUSE))  # noqa: S311
            try:
                status, headers, body = self._once(method, path, raw)
            except _NotSentError as error:
                reason = str(error)
                continue
            except (OSError, http.client.HTTPException) as error:
                sent, reason = True, f"{type(error).__name__}: {error}"
                continue
            if status not in _TRY_AGAIN:
                return _understood(status, headers, body)
            sent = (
                sent
                or status != HTTPStatus.SERVICE_UNAVAILABLE
                or body.get("code") == "outcome_unknown"
            )
            reason = str(body.get("detail") or f"HTTP {status}")
        raise Unavailable(f"Ledgerline does not answer ({reason}).", code="unavailable", sent=sent)

    def close(self) -> None:
        """Of the connections that wait for the next call; a spool needs no closing."""
        while self._idle:
            self._idle.pop().close()

    def _post(self, verb: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        return self.call("POST", f"{API}/{verb}", asked)

    def _asked(self, meter: str, amount: int, member: str, organization: str) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "organization": organization or self.organization,
            "meter": meter,
            "amount": amount,
        }
        return asked | ({"member": member} if member else {})

    def _detailed(self, meter: str, amount: int, details: dict[str, Any]) -> dict[str, Any]:
        member, organization = details.pop("member", ""), details.pop("organization", "")
        asked = self._asked(meter, amount, member, organization)
        dimensions = details.pop("dimensions", None)
        if details:
            raise TypeError(f"unknown details: {', '.join(sorted(details))}")
        return asked | ({"dimensions": dimensions} if dimensions else {})

    def _once(
        self, method: str, path: str, raw: bytes
    ) -> tuple[int, http.client.HTTPMessage, dict[str, Any]]:
        try:
            kept = self._idle.pop()
        except IndexError:
            return self._exchange(self._connected(), method, path, raw)
        try:
            return self._exchange(kept, method, path, raw)
        except ConnectionError:
            self.close()  # the server had closed it while it was idle, and others with it
        try:
            return self._exchange(self._connected(), method, path, raw)
        except _NotSentError as error:
            raise ConnectionError(str(error)) from error  # the first try may have arrived

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, raw: bytes
    ) -> tuple[int, http.client.HTTPMessage, dict[str, Any]]:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        try:
            connection.request(method, self._place.path.rstrip("/") + path, raw, headers)
            answer = connection.getresponse()
            text = answer.read()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        try:
            body = json.loads(text) if text else {}
        except ValueError:
            body = {}  # a page of some proxy
        return answer.status, answer.headers, body if isinstance(body, dict) else {}

    def _connected(self) -> http.client.HTTPConnection:
        connection = self._new_connection()
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise _NotSentError(str(error)) from error
        return connection

    def _new_connection(self) -> http.client.HTTPConnection:
        host, port = self._place.hostname or "", self._place.port
        if self._place.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self.timeout)
        secure = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=secure)


class _NotSentError(Exception):
    """There was no connection: nothing can have happened."""


def _understood(
    status: int, headers: http.client.HTTPMessage, body: dict[str, Any]
) -> dict[str, Any]:
    """Raises what a status of 400 or more says."""
    if status < HTTPStatus.BAD_REQUEST:
        replayed = headers.get("Idempotency-Replayed") == "true"
        return body | ({"replayed": True} if replayed else {})
    told = {name: value for name, value in body.items() if name not in {"status", "code"}}
    sentence = str(told.pop("detail", "") or f"HTTP {status}")
    code = str(body.get("code", ""))
    if code in _REFUSALS:
        after = headers.get("Retry-After")
        wait = float(after) if after and after.isdigit() else None
        raise Refused(sentence, status=status, code=code, retry_after=wait, **told)
    raise LedgerlineError(sentence, status=status, code=code, **told)


def new_key() -> str:
    return uuid.uuid4().hex


# --- Notices ----------------------------------------------------------------------------------


class BadSignature(Exception):
    """Not a notice of ours, or too old: answer 400 and do nothing."""


@dataclass(frozen=True)
class Notice:
    """Remember `id` to do each once. Of one organization and type, ignore a lower `sequence`."""

    id: str
    type: str
    timestamp: str
    sequence: int
    data: dict[str, Any]


def verify(
    secret: str | Iterable[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance: float = 300.0,
    now: float | None = None,
) -> Notice:
    """The notice in a request's raw body, or BadSignature, whatever garbage came (G9).

    During a rotation pass both secrets; `tolerance` is in seconds, both ways.
    """
    secrets = [secret] if isinstance(secret, str) else list(secret)
    try:
        return _verified(secrets, headers, body, tolerance, time.time() if now is None else now)
    except BadSignature:
        raise
    except Exception as error:
        raise BadSignature("This is no notice.") from error


def _verified(
    secrets: list[str], headers: Mapping[str, str], body: bytes, tolerance: float, now: float
) -> Notice:
    named = {name.lower(): value for name, value in headers.items()}
    webhook_id, sent = named["webhook-id"], named["webhook-timestamp"]
    if abs(now - int(sent)) > tolerance:
        raise BadSignature("The notice is too old, or a clock is wrong.")
    signed = f"{webhook_id}.{int(sent)}.".encode() + body
    given = [
        base64.b64decode(signature.removeprefix("v1,"), validate=True)
        for signature in named["webhook-signature"].split(" ")[:_MOST_SIGNATURES]
        if signature.startswith("v1,")
    ]
    expected = [hmac.digest(_key(secret), signed, hashlib.sha256) for secret in secrets]
    if not any(hmac.compare_digest(one, other) for one in expected for other in given):
        raise BadSignature("The signature is not ours.")
    found = json.loads(body)
    return Notice(
        webhook_id, found["type"], found["timestamp"], int(found["sequence"]), found["data"]
    )


def _key(secret: str) -> bytes:
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    if not key:
        raise ValueError("an empty secret would make everybody's signature good")
    return key


# --- What waits on disk -----------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """`ends` is where the next entry begins. `doubtful`: it may have been counted already."""

    body: dict[str, Any]
    doubtful: bool
    ends: int


class Spool:
    """An append-only file of lines, each on the disk before its use is acknowledged.

    Beside it `.sent` says how far it was replayed, and `.rejected` keeps what the server refused
    for good. A line that a crash cut off was never acknowledged and is skipped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, body: Mapping[str, Any], *, doubtful: bool) -> None:
        line = json.dumps({"body": body, "doubtful": doubtful}, separators=(",", ":")).encode()
        with self._locked(), self.path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            if size + len(line) > _SPOOL_LIMIT:
                raise Unavailable("Ledgerline is away and the spool is full.", code="spool_full")
            # After a line that was cut off a new one begins.
            start = b"" if size == 0 or _last_byte(file) == b"\n" else b"\n"
            file.write(start + line + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> Iterator[Entry]:
        """Those not sent yet, in the order of their use."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset())
            while line := file.readline():
                if not line.endswith(b"\n"):
                    return  # still being written, or cut off
                entry = _entry(line, file.tell())
                if entry is not None:
                    yield entry

    def waiting(self) -> int:
        return sum(1 for _entry in self.entries())

    @contextlib.contextmanager
    def replaying(self) -> Iterator[bool]:
        """False where another thread or process is at it."""
        with self._beside(".replay").open("a") as guard:
            try:
                fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def done(self, entry: Entry) -> None:
        """A crash before this line sends the entry again, with the same key."""
        fresh = self._beside(".sent.new")
        with fresh.open("w") as file:
            file.write(str(entry.ends))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._beside(".sent"))

    def emptied(self) -> bool:
        """Removes the file when all of it was sent; False while something waits."""
        with self._locked():
            if self.waiting():
                return False
            # The offset goes last: past the end of a file it means nothing.
            self.path.unlink(missing_ok=True)
            self._beside(".sent").unlink(missing_ok=True)
            return True

    def reject(self, entry: Entry, error: LedgerlineError) -> None:
        logger.error("a spooled use was refused for good: %s", error)
        line = json.dumps({"body": entry.body, "code": error.code, "detail": str(error)})
        with self._beside(".rejected").open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _offset(self) -> int:
        try:
            offset = int(self._beside(".sent").read_text())
        except (OSError, ValueError):
            return 0
        return offset if offset <= self.path.stat().st_size else 0

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._beside(".lock").open("a") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def _entry(line: bytes, ends: int) -> Entry | None:
    try:
        found = json.loads(line)
        return Entry(found["body"], bool(found["doubtful"]), ends)
    except (ValueError, KeyError, TypeError):
        logger.warning("a line of the spool was cut off; its use was never acknowledged")
        return None


# --- A demonstration --------------------------------------------------------------------------


def demonstrate(client: Client, meter: str, *, every: float, most: int, times: int | None) -> int:
    """Consumes until it is refused, has done it `times` times, or Ctrl-C."""
    done = 0
    while times is None or done < times:
        amount = random.randint(1, most)  # noqa: S311  a demonstration
        try:
            answer = client.consume(meter, amount)
        except Refused as refusal:
            _say(f"{meter}: refused. {refusal}")
            _say(f"More: {refusal.upgrade_url}")
            return 0
        except LedgerlineError as error:
            _say(f"{meter}: {error}", sys.stderr)
            return 1
        done += 1
        where = "kept here until Ledgerline is back" if answer.spooled else _figures(answer)
        _say(f"{meter}: +{amount}, {where}")
        time.sleep(every)
    return 0


def _say(sentence: object = "", to: TextIO | None = None) -> None:
    (to or sys.stdout).write(f"{sentence}\n")
    (to or sys.stdout).flush()


def _figures(answer: Answer) -> str:
    limit = "unlimited" if answer.limit is None else f"{answer.limit:,}"
    return f"{answer.used:,} of {limit} used"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m quotas.client", description="Consume, so that the Usage page moves."
    )
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True, help="a service token")
    parser.add_argument("--organization", required=True, help="slug or id")
    parser.add_argument("--meter", required=True)
    parser.add_argument("--amount", type=int, default=10, help="at most so many units each time")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two uses")
    parser.add_argument("--times", type=int, help="stop after so many; without it, Ctrl-C does")
    parser.add_argument("--spool", help="a file for uses while the server is away")
    parser.add_argument("--demo", action="store_true", help="consume in a loop")
    asked = parser.parse_args(arguments)
    policy: Policy = "spool" if asked.spool else "refuse"
    where = {"organization": asked.organization, "spool": asked.spool}
    with Client(asked.url, asked.token, **where, when_away=policy) as client:
        try:
            if asked.demo:
                return demonstrate(
                    client, asked.meter, every=asked.every, most=asked.amount, times=asked.times
                )
            _say(_figures(client.check(asked.meter)))
        except KeyboardInterrupt:
            _say()
        except LedgerlineError as error:
            _say(error, sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
