"""The calls of satellites, free of any framework: a bearer and a JSON object in, a reply out.

Refusals and mistakes are raised as domain errors; whoever serves the call makes problems of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from orgs.exceptions import DomainError
from quotas.api import bodies, naming
from quotas.api.bearers import Bearer
from quotas.api.bodies import Body
from quotas.engine import asking, enforcement
from quotas.engine.decisions import Decision, Decisions, Line, Request, body, instant, refusal
from quotas.exceptions import InvalidRequest
from quotas.models import Verb

MOST_EVENTS = 1_000
DEFAULT_HOLD_SECONDS = 900

_NO_HEADERS: Mapping[str, str] = {}
_REPLAYED = {"Idempotency-Replayed": "true"}

_QUESTION = frozenset({"organization", "meter", "amount", "member"})
_USE = _QUESTION | {"idempotency_key", "dimensions", "lines"}
_RECORD = _USE | {"occurred_at"}
_RELEASE = _QUESTION | {"idempotency_key"}
_LEVEL = frozenset({"organization", "meter", "member", "value", "observed_at"})
_RESERVE = _QUESTION | {"idempotency_key", "dimensions", "expires_in"}
_LINE = frozenset({"meter", "amount", "member"})


class Reply(NamedTuple):
    body: dict[str, Any]
    headers: Mapping[str, str] = _NO_HEADERS


Call = Callable[[Bearer, Body, str | None], Reply]
Answers = list[Decisions | DomainError]


class Prepared(NamedTuple):
    """What the ledger is asked, and how its answers become a reply. `reply` may raise."""

    requests: list[Request]
    reply: Callable[[Answers], Reply]


def check(bearer: Bearer, asked: Body, _key: str | None) -> Reply:
    """Always answers; a refusal is an answer too."""
    return Reply(check_body(enforcement.checked(*question(bearer, asked))))


def authorize(bearer: Bearer, asked: Body, _key: str | None) -> Reply:
    decision = enforcement.authorized(*question(bearer, asked)).or_raise()
    return Reply(check_body(decision))


def prepare_consume(bearer: Bearer, asked: Body, key: str | None) -> Prepared:
    request = _use(Verb.CONSUME, bearer, asked, key)
    return Prepared([request], lambda answers: _reply(_decided(answers).or_raise()))


def prepare_record(bearer: Bearer, asked: Body, key: str | None) -> Prepared:
    request = _use(Verb.RECORD, bearer, asked, key)
    return Prepared([request], lambda answers: _reply(_decided(answers)))


def consume(bearer: Bearer, asked: Body, key: str | None) -> Reply:
    return _settled(prepare_consume(bearer, asked, key))


def record(bearer: Bearer, asked: Body, key: str | None) -> Reply:
    return _settled(prepare_record(bearer, asked, key))


def release(bearer: Bearer, asked: Body, key: str | None) -> Reply:
    return _reply(enforcement.decided(_release(bearer, asked, key)).or_raise())


def level(bearer: Bearer, asked: Body, _key: str | None) -> Reply:
    return _reply(enforcement.decided(_level(bearer, asked)))


def reserve(bearer: Bearer, asked: Body, key: str | None) -> Reply:
    bodies.only(asked, _RESERVE)
    seconds = asked.get("expires_in", DEFAULT_HOLD_SECONDS)
    asking.whole(seconds, field="expires_in")
    organization, line = _named(bearer, asked)
    request = asking.use(
        Verb.RESERVE,
        organization,
        [line],
        _key_of(asked, key),
        satellite=bearer.satellite,
        dimensions=asked.get("dimensions"),
        seconds=seconds,
    )
    answer = enforcement.decided(request).or_raise()
    hold = enforcement.hold_of(answer.lines[0])
    expires_at = enforcement.expiry_of(answer.lines[0], seconds)
    reply = _reply(answer)
    return reply._replace(body=reply.body | {"id": hold.id, "expires_at": instant(expires_at)})


def commit(bearer: Bearer, reservation: str, asked: Body) -> Reply:
    bodies.only(asked, frozenset({"amount"}))
    amount = asking.whole(bodies.required(asked, "amount"), least=0)
    return _end(bearer, Verb.COMMIT, reservation, amount)


def void(bearer: Bearer, reservation: str, asked: Body) -> Reply:
    bodies.only(asked, frozenset())
    return _end(bearer, Verb.VOID, reservation, 0)


def batch(bearer: Bearer, asked: Body, key: str | None) -> Reply:
    """Every event has its own result; those that could be decided share one commit."""
    return _settled(prepare_batch(bearer, asked, key))


def prepare_batch(bearer: Bearer, asked: Body, _key: str | None) -> Prepared:
    bodies.only(asked, frozenset({"events", "organization"}))
    events = bodies.required(asked, "events")
    if not isinstance(events, list) or not 1 <= len(events) <= MOST_EVENTS:
        raise InvalidRequest(f"A list of 1 to {MOST_EVENTS} events.", field="events")
    common = {"organization": asked["organization"]} if "organization" in asked else {}
    found = [_event(bearer, event, common) for event in events]

    def reply(answers: Answers) -> Reply:
        decided = iter(answers)
        each = (next(decided) if isinstance(event, Request) else event for event in found)
        return Reply({"results": [_result(answer) for answer in each]})

    return Prepared([event for event in found if isinstance(event, Request)], reply)


BATCH = "/api/v1/usage/batch"
HOT: Mapping[str, Call] = {
    "/api/v1/usage/check": check,
    "/api/v1/usage/authorize": authorize,
    "/api/v1/usage/consume": consume,
    "/api/v1/usage/record": record,
    BATCH: batch,
}
PREPARED: Mapping[str, Callable[[Bearer, Body, str | None], Prepared]] = {
    "/api/v1/usage/consume": prepare_consume,
    "/api/v1/usage/record": prepare_record,
    BATCH: prepare_batch,
}


# --- Deciding ---------------------------------------------------------------------------------


def _settled(prepared: Prepared) -> Reply:
    return prepared.reply(enforcement.decide_all(prepared.requests))


def _decided(answers: Answers) -> Decisions:
    (answer,) = answers
    if isinstance(answer, DomainError):
        raise answer
    return answer


# --- From JSON to requests --------------------------------------------------------------------


def question(bearer: Bearer, asked: Body) -> tuple[UUID, Line]:
    bodies.only(asked, _QUESTION)
    return _named(bearer, asked)


def _named(bearer: Bearer, asked: Body) -> tuple[UUID, Line]:
    organization = naming.organization(bodies.required(asked, "organization"), bearer)
    return organization, _line(bearer, asked)


def _line(bearer: Bearer, asked: Body) -> Line:
    meter = asking.text(bodies.required(asked, "meter"), "meter", longest=64)
    bearer.may_use(meter)
    member = asked.get("member")
    return Line(meter, asked.get("amount", 1), "" if member is None else member)


def _use(verb: Verb, bearer: Bearer, asked: Body, key: str | None) -> Request:
    bodies.only(asked, _RECORD if verb == Verb.RECORD else _USE)
    organization = naming.organization(bodies.required(asked, "organization"), bearer)
    occurred = asked.get("occurred_at")
    return asking.use(
        verb,
        organization,
        _lines(bearer, asked),
        _key_of(asked, key),
        satellite=bearer.satellite,
        dimensions=asked.get("dimensions"),
        occurred_at=None if occurred is None else bodies.instant(occurred, "occurred_at"),
    )


def _lines(bearer: Bearer, asked: Body) -> list[Line]:
    """One meter, or several under `lines` that are counted all or none."""
    several = asked.get("lines")
    if several is None:
        return [_line(bearer, asked)]
    if not isinstance(several, list) or not all(isinstance(line, dict) for line in several):
        raise InvalidRequest("A list of objects.", field="lines")
    if asked.keys() & _LINE:
        raise InvalidRequest("Either one meter or `lines`.", field="lines")
    for line in several:
        bodies.only(line, _LINE)
    return [_line(bearer, line) for line in several]


def _release(bearer: Bearer, asked: Body, key: str | None) -> Request:
    """By the consume's key, or by amount; then the key, if any, is the release's own."""
    bodies.only(asked, _RELEASE)
    organization = naming.organization(bodies.required(asked, "organization"), bearer)
    if asked.keys() & {"amount", "meter"}:
        bodies.required(asked, "amount")
        own = _key_of(asked, key) if key or "idempotency_key" in asked else uuid4().hex
        line = _line(bearer, asked)
        return asking.release_by_amount(organization, line, own, bearer.satellite)
    return asking.release_by_key(organization, _key_of(asked, key), bearer.satellite)


def _level(bearer: Bearer, asked: Body) -> Request:
    bodies.only(asked, _LEVEL)
    value = bodies.required(asked, "value")
    observed_at = bodies.instant(bodies.required(asked, "observed_at"), "observed_at")
    organization, line = _named(bearer, asked)
    return asking.level(organization, line._replace(amount=value), observed_at, bearer.satellite)


def _end(bearer: Bearer, verb: Verb, reservation: str, amount: int) -> Reply:
    request = asking.end_of_hold(verb, reservation, amount, bearer.satellite)
    bearer.may_name(request.organization)
    return _reply(enforcement.decided(request))


def _key_of(asked: Body, header: str | None) -> str:
    """From the body or the `Idempotency-Key` header; both may say it when they agree."""
    found = asked.get("idempotency_key", header)
    if found is None:
        raise InvalidRequest("This field is required.", field="idempotency_key")
    if header is not None and found != header:
        sentence = "The body and the Idempotency-Key header differ."
        raise InvalidRequest(sentence, field="idempotency_key")
    return asking.check_key(found)


def _event(bearer: Bearer, event: object, common: Body) -> Request | DomainError:
    try:
        if not isinstance(event, dict):
            raise InvalidRequest("An event is an object.", field="events")
        asked = common | event
        kind = asked.pop("type", "consume")
        build = _EVENTS.get(kind) if isinstance(kind, str) else None
        if build is None:
            known = ", ".join(sorted(_EVENTS))
            raise InvalidRequest(f"One of {known}.", field="type")
        return build(bearer, asked)
    except DomainError as error:
        return error


_EVENTS: Mapping[str, Callable[[Bearer, Body], Request]] = {
    "consume": lambda bearer, asked: _use(Verb.CONSUME, bearer, asked, None),
    "record": lambda bearer, asked: _use(Verb.RECORD, bearer, asked, None),
    "release": lambda bearer, asked: _release(bearer, asked, None),
    "level": _level,
}


# --- From decisions to JSON -------------------------------------------------------------------


def _reply(answer: Decisions) -> Reply:
    headers = _REPLAYED if answer.lines[0].replayed else _NO_HEADERS
    return Reply(_body(answer), headers)


def _body(answer: Decisions) -> dict[str, Any]:
    found = body(answer.deciding)
    if len(answer.lines) > 1:
        found["lines"] = [body(line) for line in answer.lines]
    return found


def check_body(decision: Decision) -> dict[str, Any]:
    """As every answer, but nothing was recorded."""
    found = body(decision)
    del found["event_id"]
    return found


def _result(answer: Decisions | DomainError) -> dict[str, Any]:
    """Like the answer of the single call: a status, and its body or problem."""
    if isinstance(answer, Decisions):
        if answer.allowed:
            return {"status": 200, **_body(answer)}
        answer = refusal(answer.deciding)
    return {"status": answer.status, "code": answer.code, "detail": str(answer), **answer.extra}
