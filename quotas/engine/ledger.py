"""The only caller of the hot SQL: a batch of requests in, the ledger's own answers out."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import orjson

from quotas.engine import clock
from quotas.engine.decisions import Request
from quotas.engine.readings import Reading

_BATCHED = frozenset({"consume", "record", "reserve"})
_LINES = frozenset({"consume", "record"})
# Up to so many lines of different organizations, deciding each by itself is cheaper than a set.
FEW_LINES = 4
_UNDECIDED = "undecided"

_APPLY = """
SELECT * FROM apply_usage(
    %s::uuid[], %s::text[], %s::bigint[], %s::text[], %s::smallint[], %s::bigint[], %s::text[],
    %s::text[], %s::bigint[], %s::timestamptz[], %s::integer[], %s::text[], %s::integer)
"""
_APPLY_LINES = """
SELECT a.* FROM unnest(
    %s::uuid[], %s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[],
    %s::bigint[], %s::text[]
) WITH ORDINALITY AS t(org, verb, satellite, key, print, meter, member, amount, dimensions, ord)
CROSS JOIN LATERAL apply_usage_line(
    t.org, t.verb, t.satellite, t.key, t.print, t.meter, t.member, t.amount, t.dimensions) a
ORDER BY t.ord
"""
_APPLY_SET = """
SELECT * FROM apply_usage_set(
    %s::uuid[], %s::text[], %s::bigint[], %s::text[], %s::smallint[], %s::bigint[], %s::text[],
    %s::text[], %s::bigint[], %s::timestamptz[], %s::text[])
"""
_SETTLE = """
SELECT s.* FROM unnest(
    %s::uuid[], %s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[],
    %s::bigint[], %s::timestamptz[], %s::bigint[]
) WITH ORDINALITY AS t(org, verb, satellite, key, print, meter, member, amount, observed, number,
                       ord)
CROSS JOIN LATERAL settle_usage(
    t.ord::integer, t.org, t.verb, t.satellite, t.key, t.print, t.meter, t.member, t.amount,
    t.observed, t.number, %s::integer) s
"""
_READ = "SELECT * FROM read_usage(%s::uuid[], %s::text[], %s::text[])"


class Executes(Protocol):
    """What Django's cursor and psycopg's have in common."""

    def execute(self, query: Any, params: Sequence[Any] | None = None) -> Any: ...

    def fetchall(self) -> list[Any]: ...


class Row(NamedTuple):
    """One line's answer as PostgreSQL gave it; `outcome` says which of the rest is set."""

    ord: int
    outcome: str
    accepted: bool
    reason: str | None
    sequence: int
    occurred_at: Any
    used: int
    held: int
    allowance: int | None
    remaining: int | None
    overage: int
    period_start: Any
    period_end: Any
    plan: str
    enforcement: str
    limits_sequence: int
    credited: int
    credits: int
    late: bool
    meter: str = ""
    member: str = ""


class ReadRow(NamedTuple):
    outcome: str
    reading: Reading | None


Rows = list[Row]


def apply(cursor: Executes, requests: Sequence[Request], *, wait_ms: int) -> list[Rows]:
    """One list of rows per request. The caller's transaction makes them true or not.

    With `wait_ms` 0 a head that another transaction holds is answered `busy`, not waited for.
    """
    if not wait_ms and _are_few_lines(requests):
        return _apply_lines(cursor, requests)
    if not wait_ms and _are_a_set(requests):
        return _apply_set(cursor, requests)
    answers: list[Rows] = []
    for batched, run in groupby(requests, key=lambda request: request.verb in _BATCHED):
        call = _apply if batched else _settle
        answers += call(cursor, list(run), wait_ms)
    return answers


def is_batched(requests: Sequence[Request]) -> bool:
    return all(request.verb in _BATCHED for request in requests)


def is_one_call(requests: Sequence[Request]) -> bool:
    """Whether `apply` needs no transaction around it."""
    return len({request.verb in _BATCHED for request in requests}) == 1


def read(cursor: Executes, places: Sequence[tuple[UUID, str, str]]) -> list[ReadRow]:
    """Readings for `check`, in one query and without a lock."""
    organizations, meters, members = zip(*places, strict=True)
    cursor.execute(_READ, [_array(organizations), _array(meters), _array(members)])
    return [_reading(row) for row in cursor.fetchall()]


def _are_few_lines(requests: Sequence[Request]) -> bool:
    return (
        1 <= len(requests) <= FEW_LINES
        and all(map(_is_line, requests))
        and len({request.organization for request in requests}) == len(requests)
    )


def _is_line(request: Request) -> bool:
    return request.verb in _LINES and request.occurred_at is None and len(request.lines) == 1


def _apply_lines(cursor: Executes, requests: Sequence[Request]) -> list[Rows]:
    lines = [
        (
            request.organization, request.verb, request.satellite, request.key,
            request.fingerprint, line.meter, line.member, line.amount, request.dimensions,
        )
        for request in requests
        for line in request.lines
    ]  # fmt: skip
    cursor.execute(_APPLY_LINES, [*map(_array, zip(*lines, strict=True))])
    return [[Row._make((*values, "", ""))] for values in cursor.fetchall()]


def _are_a_set(requests: Sequence[Request]) -> bool:
    keys = {(request.organization, request.satellite, request.key) for request in requests}
    return 0 < len(requests) == len(keys) and all(request.verb in _LINES for request in requests)


def _apply_set(cursor: Executes, requests: Sequence[Request]) -> list[Rows]:
    """What is not everyday comes back undecided, whole organizations of it, and is applied then."""
    lines = [
        (
            request.organization, request.verb, request.satellite, request.key, number,
            request.fingerprint, line.meter, line.member, line.amount, request.occurred_at,
            request.dimensions,
        )
        for request in requests
        for number, line in enumerate(request.lines)
    ]  # fmt: skip
    cursor.execute(_APPLY_SET, [*map(_array, zip(*lines, strict=True))])
    rows = (Row._make((*values, "", "")) for values in cursor.fetchall())
    answers = [[next(rows) for _ in request.lines] for request in requests]
    left = [place for place, decided in enumerate(answers) if decided[0].outcome == _UNDECIDED]
    if left:
        late = _apply(cursor, [requests[place] for place in left], 0)
        for place, decided in zip(left, late, strict=True):
            answers[place] = decided
    return answers


def _apply(cursor: Executes, requests: list[Request], wait_ms: int) -> list[Rows]:
    lines = [
        (
            request.organization, request.verb, request.satellite, request.key, number,
            request.fingerprint, line.meter, line.member, line.amount, request.occurred_at,
            request.seconds, request.dimensions,
        )
        for request in requests
        for number, line in enumerate(request.lines)
    ]  # fmt: skip
    cursor.execute(_APPLY, [*map(_array, zip(*lines, strict=True)), wait_ms])
    rows = (Row._make((*values, "", "")) for values in cursor.fetchall())
    return [[next(rows) for _ in request.lines] for request in requests]


def _settle(cursor: Executes, requests: list[Request], wait_ms: int) -> list[Rows]:
    columns = zip(*map(_settlement, requests), strict=True)
    cursor.execute(_SETTLE, [*map(_array, columns), wait_ms])
    answers: list[Rows] = [[] for _ in requests]
    for values in cursor.fetchall():
        row = Row._make(values)
        answers[row.ord - 1].append(row)
    return answers


def _settlement(request: Request) -> tuple[Any, ...]:
    line = request.lines[0]
    return (
        request.organization, request.verb, request.satellite, request.key, request.fingerprint,
        line.meter, line.member, None if request.by_key else line.amount, request.occurred_at,
        request.number,
    )  # fmt: skip


def _array(values: Sequence[Any]) -> str:
    """PostgreSQL's array literal. JSON's quoting is also its own, and orjson is fast at it."""
    return "{" + orjson.dumps(values)[1:-1].decode() + "}"


def _reading(row: Sequence[Any]) -> ReadRow:
    _ord, outcome, sequence, limits_sequence, database_now, *rest = row
    clock.calibrate(database_now)
    if outcome != "ok":
        return ReadRow(outcome, None)
    return ReadRow(outcome, Reading(sequence, limits_sequence, *rest))


# --- What the hot path must know of a caller --------------------------------------------------

_TOKENS = """
WITH live AS (
    SELECT t.id, t.token_hash, t.satellite_id, t.meters, t.organizations, t.last_used_at
    FROM quotas_servicetoken t JOIN quotas_satellite s ON s.id = t.satellite_id
    WHERE t.token_hash = ANY (%s::text[]) AND t.revoked_at IS NULL AND s.disabled_at IS NULL
      AND (t.expires_at IS NULL OR t.expires_at > now())
), used AS (
    UPDATE quotas_servicetoken t SET last_used_at = now()
    FROM live WHERE live.id = t.id
      AND (live.last_used_at IS NULL OR live.last_used_at < now() - interval '1 minute')
)
SELECT token_hash, satellite_id, meters, organizations FROM live
"""
_ORGANIZATIONS = """
SELECT slug, id FROM orgs_organization WHERE slug = ANY (%s::text[]) AND closed_at IS NULL
"""

_PAYERS = """
SELECT o.id, coalesce(m.user_id, o.id)
FROM orgs_organization o LEFT JOIN orgs_membership m
  ON m.organization_id = o.id AND m.role = 'owner' AND o.kind = 'personal'
WHERE o.id = ANY (%s::uuid[])
"""


class TokenRow(NamedTuple):
    satellite: int | None
    meters: list[str] | None
    organizations: list[UUID] | None


NO_TOKEN = TokenRow(None, None, None)


def find_tokens(cursor: Executes, hashes: Sequence[str]) -> dict[str, TokenRow]:
    """Live tokens by hash; notes, once a minute, that they were used."""
    cursor.execute(_TOKENS, [_array(hashes)])
    return {token_hash: TokenRow(*rest) for token_hash, *rest in cursor.fetchall()}


def find_organizations(cursor: Executes, slugs: Sequence[str]) -> dict[str, UUID]:
    """Open organizations by slug."""
    cursor.execute(_ORGANIZATIONS, [_array(slugs)])
    return dict(cursor.fetchall())


def find_payers(cursor: Executes, organizations: Sequence[UUID]) -> dict[UUID, UUID]:
    """Whose wallet it is: the person of a personal organization; a team pays for itself."""
    cursor.execute(_PAYERS, [_array(organizations)])
    return dict(cursor.fetchall())
