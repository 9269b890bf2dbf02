"""From what a caller says to a request that the ledger can apply: every value checked by type."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, TypedDict
from uuid import UUID

import orjson

from billing.redaction import holds_secret
from quotas.engine.decisions import OWN_PROCESS, Line, Request
from quotas.engine.meters import meter as known_meter
from quotas.exceptions import InvalidRequest, ReservationNotFound, UnknownMeter
from quotas.models import LARGEST_AMOUNT, Kind, Verb

LONGEST_KEY = 200
LONGEST_MEMBER = 64
MOST_LINES = 20
LONGEST_HOLD_SECONDS = 86_400
RESERVED_PREFIX = "~"  # keys that the engine makes itself
MOST_SPACES = 3  # in a label
_PATH_STARTS = ("/", "~", "./", "../", "file:")
_RESERVATION_PREFIX = "rsv_"
_RESERVATION = re.compile(r"rsv_(?P<organization>[0-9a-f]{32})(?P<number>[0-9a-f]{1,16})")
_LARGEST_NUMBER = 2**63 - 1
_NOT_PRINTABLE = "\x1f"  # so that no text can look like two
_PRINT = Request._fields.index("fingerprint")

CHECK = "check"
_KINDS: Mapping[str, frozenset[str]] = {
    CHECK: frozenset(Kind),
    Verb.CONSUME: frozenset({Kind.LEVEL, Kind.FLOW, Kind.CEILING}),
    Verb.RECORD: frozenset({Kind.LEVEL, Kind.FLOW}),
    Verb.RESERVE: frozenset({Kind.LEVEL, Kind.FLOW}),
    Verb.RELEASE: frozenset({Kind.LEVEL}),
    Verb.LEVEL: frozenset({Kind.LEVEL}),
}
_KIND_SENTENCES: Mapping[str, str] = {
    Kind.ROWS: "is counted from our own rows; it can be checked only",
    Kind.CEILING: "is a maximum per request; it can be checked and consumed only",
    Kind.FLOW: "starts again each period; only levels are released by amount or set",
    Kind.LEVEL: "is a level",
}


class Details(TypedDict, total=False):
    """What any verb may say beside its own arguments."""

    member: str
    dimensions: Mapping[str, str] | None
    satellite: int
    occurred_at: datetime | None


def use(verb: Verb, organization: UUID, lines: Sequence[Line], key: str, **details: Any) -> Request:
    """A consume, record or reserve. `details` are those of Details, and `seconds` of a reserve."""
    if not 1 <= len(lines) <= MOST_LINES:
        raise InvalidRequest(f"One to {MOST_LINES} meters per request.", field="lines")
    for line in lines:
        check_line(verb, line)
    occurred_at: datetime | None = details.get("occurred_at")
    if occurred_at is not None:
        occurred_at = aware(occurred_at, "occurred_at")
    return fingerprinted(
        Request(
            verb=verb,
            organization=organization,
            key=check_key(key),
            lines=tuple(lines),
            satellite=details.get("satellite", OWN_PROCESS),
            occurred_at=occurred_at,
            seconds=_seconds(details.get("seconds", 0)),
            dimensions=check_dimensions(lines, details.get("dimensions")),
        )
    )


def release_by_key(organization: UUID, key: str, satellite: int = OWN_PROCESS) -> Request:
    nothing = (Line("", 0),)
    request = Request(
        Verb.RELEASE, organization, check_key(key), nothing, satellite=satellite, by_key=True
    )
    return fingerprinted(request)


def release_by_amount(
    organization: UUID, line: Line, key: str, satellite: int = OWN_PROCESS
) -> Request:
    check_line(Verb.RELEASE, line)
    request = Request(Verb.RELEASE, organization, check_key(key), (line,), satellite=satellite)
    return fingerprinted(request)


def level(
    organization: UUID, line: Line, observed_at: datetime, satellite: int = OWN_PROCESS
) -> Request:
    """The satellite's own truth; its amount may be 0. One value per observation."""
    check_line(Verb.LEVEL, line, least=0, field="value")
    at = aware(observed_at, "observed_at")
    key = f"{RESERVED_PREFIX}level:{line.meter}:{line.member}:{at.isoformat()}"
    request = Request(Verb.LEVEL, organization, key, (line,), satellite=satellite, occurred_at=at)
    return fingerprinted(request)


def end_of_hold(
    verb: Verb, reservation: str, amount: int = 0, satellite: int = OWN_PROCESS
) -> Request:
    """A commit or void. Raises ReservationNotFound for what is no reservation's id."""
    organization, number = parse_reservation(reservation)
    whole(amount, least=0)
    request = Request(
        verb, organization, "", (Line("", amount),), satellite=satellite, number=number
    )
    return fingerprinted(request)


def reservation_id(organization: UUID, number: int) -> str:
    return f"{_RESERVATION_PREFIX}{organization.hex}{number:x}"


def parse_reservation(reservation: str) -> tuple[UUID, int]:
    found = _RESERVATION.fullmatch(reservation)
    if found is None or int(found["number"], 16) > _LARGEST_NUMBER:
        raise ReservationNotFound("There is no such reservation.")
    return UUID(hex=found["organization"]), int(found["number"], 16)


def check_line(verb: str, line: Line, *, least: int = 1, field: str = "amount") -> Line:
    """Raises UnknownMeter or InvalidRequest, naming the field."""
    kind = known_meter(text(line.meter, "meter", longest=64)).kind
    if kind not in _KINDS[verb]:
        raise UnknownMeter(f"“{line.meter}” {_KIND_SENTENCES[kind]}.", field="meter")
    whole(line.amount, least=least, field=field)
    check_member(line.member)
    return line


def check_member(member: str) -> str:
    return without_secret(text(member, "member", longest=LONGEST_MEMBER, least=0), "member")


def check_key(key: object) -> str:
    found = text(key, "idempotency_key", longest=LONGEST_KEY)
    if found.startswith(RESERVED_PREFIX):
        raise InvalidRequest(
            f"A key may not begin with “{RESERVED_PREFIX}”.", field="idempotency_key"
        )
    return without_secret(found, "idempotency_key")


def check_dimensions(lines: Sequence[Line], dimensions: Mapping[str, str] | None) -> str | None:
    """Only what the catalogue declares for the meter, so that no content enters the ledger."""
    if dimensions is None:
        return None
    if not isinstance(dimensions, Mapping):
        raise InvalidRequest("An object of strings.", field="dimensions")
    if not dimensions:
        return None
    declared = dict(known_meter(lines[0].meter).dimensions)
    for name, value in dimensions.items():
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise InvalidRequest(
                f"“{str(name)[:40]}” is not declared; known: {known}.", field="dimensions"
            )
        label(value, f"dimensions.{name}", longest=declared[name])
    return orjson.dumps(dict(dimensions), option=orjson.OPT_SORT_KEYS).decode()


def whole(value: object, *, least: int = 1, field: str = "amount") -> int:
    """A JSON integer: not true, "3", 1e3 or 5.0 (C6)."""
    if type(value) is not int or not least <= value <= LARGEST_AMOUNT:
        raise InvalidRequest(f"A whole number from {least} to {LARGEST_AMOUNT}.", field=field)
    return value


def text(value: object, field: str, *, longest: int, least: int = 1) -> str:
    """Printable: a control character or half a surrogate pair could not be stored or shown."""
    if not isinstance(value, str) or not least <= len(value) <= longest or not value.isprintable():
        raise InvalidRequest(f"A text of {least} to {longest} printable characters.", field=field)
    return value


def label(value: object, field: str, *, longest: int) -> str:
    """A word or name such as `gpt-5` or `org/model:7b`; sentences and paths are content."""
    found = without_secret(text(value, field, longest=longest), field)
    if found.count(" ") > MOST_SPACES or found.startswith(_PATH_STARTS) or "\\" in found:
        raise InvalidRequest("A short label, not a sentence and not a path.", field=field)
    return found


def without_secret(found: str, field: str) -> str:
    """Keys and tokens would lie in the ledger for years, where nobody expects them."""
    if holds_secret(found):
        raise InvalidRequest("This looks like a secret, which must not be stored.", field=field)
    return found


def aware(at: object, field: str) -> datetime:
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise InvalidRequest("An instant with its time zone.", field=field)
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest("An instant of our time.", field=field) from None


def fingerprinted(request: Request) -> Request:
    """64 bits of everything that makes it this request; the key is not part of it."""
    lines = _NOT_PRINTABLE.join(
        f"{line.meter}{_NOT_PRINTABLE}{line.amount}{_NOT_PRINTABLE}{line.member}"
        for line in request.lines
    )
    # Joined, because an enumeration's member takes its time in an f-string.
    said = "|".join(
        (
            request.verb, lines, str(request.occurred_at), str(request.seconds),
            str(request.number), str(request.dimensions), str(request.by_key),
        )
    )  # fmt: skip
    digest = blake2b(said.encode(), digest_size=8).digest()
    fingerprint = int.from_bytes(digest, signed=True)
    # By position: `_replace` costs as much as the digest.
    return Request._make((*request[:_PRINT], fingerprint, *request[_PRINT + 1 :]))


def _seconds(seconds: object) -> int:
    if type(seconds) is not int or not 0 <= seconds <= LONGEST_HOLD_SECONDS:
        raise InvalidRequest(f"Seconds, at most {LONGEST_HOLD_SECONDS}.", field="expires_in")
    return seconds
