"""What satellites do, through the engine's own verbs; every answer goes into the books."""

import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from orgs.exceptions import DomainError
from quotas.engine import asking, enforcement, refresh
from quotas.engine.decisions import Decisions, Line, Request
from quotas.exceptions import (
    Busy,
    EngineUnavailable,
    IdempotencyConflict,
    InvalidRequest,
    KeyGone,
    NothingToRelease,
    OutcomeUnknown,
    ReleaseExceedsUsage,
    ReservationEnded,
    StaleObservation,
)
from quotas.models import LARGEST_AMOUNT, Kind, QuotaHead, Verb
from tests.simulation.books import Answered, Broken, Row, must, numbers
from tests.simulation.world import Act, Player, World

TRIES: Final = 6
NO_ANSWER: Final = (Busy, OutcomeUnknown, EngineUnavailable)
HOLD_SECONDS: Final = (60, 900, 86_400)
MEMBERS: Final = ("", "anh", "bao")


# --- Asking until there is an answer ------------------------------------------------------------


def ask(requests: Sequence[Request]) -> list[Decisions | DomainError]:
    """As satellites that send the same keys again until they know."""
    answers: dict[int, Decisions | DomainError] = {}
    for _try in range(TRIES):
        waiting = [at for at in range(len(requests)) if at not in answers]
        try:
            found = enforcement.decide_all([requests[at] for at in waiting])
        except NO_ANSWER:
            continue
        known = zip(waiting, found, strict=True)
        answers |= {at: one for at, one in known if not isinstance(one, NO_ANSWER)}
        if len(answers) == len(requests):
            return [answers[at] for at in range(len(requests))]
    raise Broken(f"no answer in {TRIES} tries")


def asked(player: Player, request: Request) -> tuple[Decisions, list[Row]]:
    """One request and the rows it made. Raises what it could not be decided for."""
    (answer,) = ask([request])
    if isinstance(answer, DomainError):
        player.books.nothing_new(answer)
        raise answer
    return answer, _enter(player, request, answer)


def _enter(player: Player, request: Request, answer: Decisions) -> list[Row]:
    rows = player.books.enter(answer.lines)
    if request.verb in (Verb.CONSUME, Verb.RECORD, Verb.RESERVE):
        known = player.books.answers.setdefault(
            request.key, Answered(request, numbers(answer.lines))
        )
        must(known.numbers == numbers(answer.lines), "the same key got another answer", request)
    return rows


def use_again(player: Player, request: Request) -> Decisions:
    """Until there is an answer; the books know of it."""
    return asked(player, request)[0]


def say(answer: Decisions) -> str:
    return "; ".join(
        f"{'yes' if one.allowed else one.reason} {one.meter} {one.amount}"
        f" used {one.used} held {one.held} of {one.limit}"
        for one in answer.lines
    )


# --- What is asked for ----------------------------------------------------------------------------


def _amount(player: Player, meter: str, luck: random.Random) -> int:
    """Small, a share of the limit, exactly what is left, or one more."""
    how = luck.choice(("small", "share", "share", "left", "beyond"))
    small = luck.randint(1, 9)
    if how == "small":
        return small
    reading = enforcement.reading_of(player.organization.pk, meter)
    if reading.remaining is None or not reading.allowance:
        return small
    wanted = {
        "share": reading.allowance // luck.randint(2, 9),
        "left": reading.remaining,
        "beyond": reading.remaining + 1,
    }[how]
    return min(max(wanted, 1), LARGEST_AMOUNT)


def _line(world: World, player: Player, luck: random.Random, *kinds: str) -> Line | None:
    meters = world.meters(*kinds)
    if not meters:
        return None
    meter = luck.choice(meters)
    return Line(meter, _amount(player, meter, luck), luck.choice(MEMBERS))


def _use(
    world: World,
    player: Player,
    verb: Verb,
    lines: list[Line],
    at: datetime | None = None,
    seconds: int = 0,
) -> tuple[Decisions, list[Row], Request]:
    request = asking.use(
        verb, player.organization.pk, lines, player.key(),
        occurred_at=at, seconds=seconds, satellite=world.bearers[0][0],
    )  # fmt: skip
    answer, rows = asked(player, request)
    return answer, rows, request


def consume(world: World, player: Player, luck: random.Random) -> str:
    line = _line(world, player, luck, Kind.LEVEL, Kind.FLOW, Kind.FLOW, Kind.CEILING)
    if line is None:
        return "nothing is counted"
    return say(_use(world, player, Verb.CONSUME, [line])[0])


def again(world: World, player: Player, luck: random.Random) -> str:
    """A key that was sent before, whatever it was answered: the same, and nothing counted."""
    if not player.books.answers:
        return "nothing was asked"
    known = player.books.answers[luck.choice(list(player.books.answers))]
    answer, rows = asked(player, known.request)
    must(not rows, "a repeated request counted", known.request, rows)
    return say(answer)


def other_body(world: World, player: Player, luck: random.Random) -> str:
    """The same key for another amount is a conflict."""
    if not player.books.answers:
        return "nothing was asked"
    known = player.books.answers[luck.choice(list(player.books.answers))].request
    (first, *others) = known.lines
    changed = first._replace(amount=first.amount % 1000 + 1 if first.amount != 1 else 2)
    if changed == first:
        return "the same"
    request = asking.fingerprinted(known._replace(lines=(changed, *others)))
    try:
        asked(player, request)
    except IdempotencyConflict:
        return "conflict"
    raise Broken(f"another body was answered: {request}")


def group(world: World, player: Player, luck: random.Random) -> str:
    """Several meters, all or none."""
    drawn = [_line(world, player, luck, Kind.LEVEL, Kind.FLOW) for _ in range(luck.randint(2, 3))]
    lines = [line for line in drawn if line is not None]
    if not lines:
        return "nothing is counted"
    before = player.books.used.copy()
    answer, rows, _request = _use(world, player, Verb.CONSUME, lines)
    if not answer.allowed:
        must(player.books.used == before, "a part of a refused group counted", rows)
    return say(answer)


def record(world: World, player: Player, luck: random.Random) -> str:
    """After the fact, sometimes weeks later: always counted."""
    line = _line(world, player, luck, Kind.LEVEL, Kind.FLOW)
    if line is None:
        return "nothing is counted"
    late = luck.choice((None, None, timedelta(hours=1), timedelta(days=luck.randint(1, 34))))
    at = None if late is None else _now(player) - late
    answer, _rows, _request = _use(world, player, Verb.RECORD, [line], at=at)
    must(answer.allowed, "a record was refused", answer)
    return say(answer)


def release(world: World, player: Player, luck: random.Random) -> str:
    """By the key of what was counted, once; a second time says the same and counts nothing."""
    keys = [
        key
        for key, known in player.books.answers.items()
        if known.request.verb in (Verb.CONSUME, Verb.RECORD)
    ]
    if not keys:
        return "nothing was counted"
    key = luck.choice(keys)
    satellite = player.books.answers[key].request.satellite
    request = asking.release_by_key(player.organization.pk, key, satellite)
    try:
        answer, rows = asked(player, request)
    except (KeyGone, NothingToRelease, ReleaseExceedsUsage) as error:
        return error.code
    must(not rows or key not in player.books.released, "released twice", key, rows)
    counted = sum(line[1] for line in player.books.answers[key].numbers if line[2])
    given_back = -sum(row.delta for row in rows)
    must(not rows or given_back == counted, "released more or less than was counted", key, rows)
    player.books.released.add(key)
    return say(answer)


def release_amount(world: World, player: Player, luck: random.Random) -> str:
    line = _line(world, player, luck, Kind.LEVEL)
    if line is None:
        return "no levels"
    request = asking.release_by_amount(player.organization.pk, line, player.key())
    answer, rows = asked(player, request)
    (decision,) = answer.lines
    expected = -line.amount if decision.allowed else 0
    must([row.delta for row in rows] == [expected], "released something else", line, rows)
    return say(answer)


def level(world: World, player: Player, luck: random.Random) -> str:
    """The keeper's own count; sometimes one that was overtaken on its way."""
    line = _line(world, player, luck, Kind.LEVEL)
    if line is None:
        return "no levels"
    line = Line(line.meter, luck.choice((0, line.amount, line.amount * 2)) % LARGEST_AMOUNT)
    at = _now(player) - timedelta(minutes=luck.randint(0, 300))
    newest = player.observed.get(line.meter)
    request = asking.level(player.organization.pk, line, at)
    try:
        answer, rows = asked(player, request)
    except (StaleObservation, IdempotencyConflict) as error:
        must(newest is not None and at <= newest, "a newer observation is called old", at, newest)
        return error.code
    if not rows:
        return "known"
    must(newest is None or at > newest, "an older observation won", line, at, newest)
    must(answer.lines[0].used == line.amount, "a level is not what was observed", line, answer)
    player.observed[line.meter] = at
    return say(answer)


def reserve(world: World, player: Player, luck: random.Random) -> str:
    line = _line(world, player, luck, Kind.LEVEL, Kind.FLOW)
    if line is None:
        return "nothing is counted"
    seconds = luck.choice(HOLD_SECONDS)
    answer, rows, _request = _use(world, player, Verb.RESERVE, [line], seconds=seconds)
    hold = enforcement.hold_of(answer.lines[0])
    must((hold.id is not None) == answer.allowed, "a hold without an id", answer)
    if hold.id is not None:
        player.books.hold(hold.id, rows[0], seconds)
    return say(answer)


def commit(world: World, player: Player, luck: random.Random) -> str:
    if not player.books.holds:
        return "nothing is held"
    identity = luck.choice(list(player.books.holds))
    hold = player.books.holds[identity]
    amount = luck.choice((hold.amount, hold.amount // 2, 0, hold.amount + 1))
    request = asking.end_of_hold(Verb.COMMIT, identity, amount, world.bearers[0][0])
    ended = _ended(player, request, identity, "committed")
    if isinstance(ended, str):
        return ended
    must(amount <= hold.amount, "a commit exceeds its hold", amount, hold)
    must([row.delta for row in ended] in ([], [amount]), "committed something else", ended)
    return f"committed {amount} of {hold.amount}"


def void(world: World, player: Player, luck: random.Random) -> str:
    if not player.books.holds:
        return "nothing is held"
    identity = luck.choice(list(player.books.holds))
    request = asking.end_of_hold(Verb.VOID, identity, satellite=world.bearers[0][0])
    ended = _ended(player, request, identity, "voided")
    return ended if isinstance(ended, str) else "voided"


def _ended(player: Player, request: Request, identity: str, how: str) -> list[Row] | str:
    hold = player.books.holds[identity]
    try:
        _answer, rows = asked(player, request)
    except ReservationEnded as error:
        over = hold.ended or hold.expires_at <= _now(player)
        must(over, "an open hold is called ended", identity, hold, _now(player))
        return error.code
    except (InvalidRequest, IdempotencyConflict) as error:
        return error.code
    if not rows:
        must(hold.ended == how, "ended before, and otherwise", identity, hold, how)
        return "again"
    player.books.end(identity, how, _now(player))
    return rows


def batch(world: World, player: Player, luck: random.Random) -> str:
    """Several requests of several organizations in one commit."""
    others = [player, player, luck.choice(world.players), luck.choice(world.players)]
    requests: list[tuple[Player, Request]] = []
    for whose in others:
        line = _line(world, whose, luck, Kind.LEVEL, Kind.FLOW)
        if line is None:
            return "nothing is counted"
        verb = luck.choice((Verb.CONSUME, Verb.RECORD))
        requests.append(
            (whose, asking.use(verb, whose.organization.pk, [line], whose.key(),
                               satellite=world.bearers[1][0]))
        )  # fmt: skip
    answers = ask([request for _whose, request in requests])
    for whose in {one.index: one for one in others}.values():
        mine = [
            (request, answer)
            for (who, request), answer in zip(requests, answers, strict=True)
            if who is whose and isinstance(answer, Decisions)
        ]
        whose.books.enter([line for _request, answer in mine for line in answer.lines])
        for request, answer in mine:
            whose.books.answers[request.key] = Answered(request, numbers(answer.lines))
    return " | ".join(
        say(answer) if isinstance(answer, Decisions) else answer.code for answer in answers
    )


def check(world: World, player: Player, luck: random.Random) -> str:
    """Advice. Only a lie in Redis may make it wrong, and no consume believes it."""
    line = _line(world, player, luck, Kind.LEVEL, Kind.FLOW, Kind.CEILING)
    if line is None:
        return "nothing is counted"
    refresh.flush()
    answer = enforcement.checked(player.organization.pk, line)
    if player.lied_to:
        return "whatever Redis says"
    real = enforcement.authorized(player.organization.pk, line)
    must(
        (answer.allowed, answer.used, answer.held) == (real.allowed, real.used, real.held),
        "a check and PostgreSQL differ", answer, real,
    )  # fmt: skip
    return f"{answer.allowed} {answer.used} {answer.held} {answer.limit}"


def stranger(world: World, player: Player, luck: random.Random) -> str:
    """Somebody else's token, somebody else's organization: nothing is told, nothing counted."""
    other = luck.choice([one for one in world.players if one is not player])
    meters = [*world.meters(Kind.LEVEL, Kind.FLOW), "members"]
    question = {"organization": other.organization.slug, "meter": meters[0], "amount": 1}
    body = question | {"idempotency_key": other.key()}
    headers = {"authorization": f"Bearer {world.scoped(player)}"}
    call = partial(world.client.generic, content_type="application/json", headers=headers)
    slug = other.organization.slug
    for method, path, asked_for in (
        ("POST", "usage/consume", body),
        ("POST", "usage/check", question),
        ("GET", f"organizations/{slug}/usage", {}),
        ("GET", f"organizations/{slug}/entitlements", {}),
    ):
        data = json.dumps(asked_for) if method == "POST" else ""
        response = call(method, f"/api/v1/{path}", data)
        for _try in range(TRIES):
            if response.status_code != 503:  # one of its connections was killed
                break
            response = call(method, f"/api/v1/{path}", data)
        must(response.status_code in (403, 404), "a stranger was answered", path,
             response.status_code, response.content[:200])  # fmt: skip
        told = response.content.decode()
        must(str(other.organization.pk) not in told, "a stranger was told an id", path, told)
    other.books.nothing_new("a stranger's token")
    return "four refusals"


def _now(player: Player) -> datetime:
    frozen: datetime | None = (
        QuotaHead.objects.filter(organization=player.organization)
        .values_list("frozen_at", flat=True)
        .first()
    )
    return frozen or player.now


ACTS: Final[dict[str, Act]] = {
    "consume": consume,
    "again": again,
    "other body": other_body,
    "group": group,
    "record": record,
    "release": release,
    "release amount": release_amount,
    "level": level,
    "reserve": reserve,
    "commit": commit,
    "void": void,
    "batch": batch,
    "check": check,
    "stranger": stranger,
}
