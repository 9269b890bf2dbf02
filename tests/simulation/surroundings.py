"""What happens around people: deliveries, workers, beat, time, and everything that fails."""

import random
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import psycopg
from django.core import mail
from django.db import connection
from django.db.models import F
from django.utils import timezone

from billing import tasks as billing_tasks
from billing.exceptions import StripeUnavailable
from billing.gateway import breaker, reconcile
from billing.models import BillingAccount, InboxEvent, OutboxMessage, PackPurchase
from quotas import tasks as quota_tasks
from quotas.engine import asking, counters, enforcement, ledger, limits, refresh
from quotas.engine.decisions import Line, Request
from quotas.exceptions import Busy
from quotas.models import Kind, OverageReport, Verb
from tests.billing.stripe_events import post
from tests.simulation import satellites
from tests.simulation.books import must
from tests.simulation.world import REFUSALS, Act, Player, World

Json = dict[str, Any]

HOUR: Final = 3600
DAY: Final = 24 * HOUR
LEAPS: Final = (HOUR, HOUR, 6 * HOUR, DAY, DAY, 3 * DAY + HOUR, 7 * DAY, 15 * DAY, 32 * DAY)
_PATIENCE: Final = 12  # rounds
_REPEATED: Final = 4  # times that a task which Stripe failed is tried again


# --- Webhooks and workers -------------------------------------------------------------------------


def deliver(world: World, player: Player, luck: random.Random) -> str:
    """In any order; some twice, some not at all."""
    world.listen()
    luck.shuffle(world.bag)
    arriving = [world.bag.pop() for _ in range(min(len(world.bag), luck.randint(4, 60)))]
    lost = twice = 0
    for event in arriving:
        if luck.random() < 0.03:  # what gets lost
            lost += 1
            _miss(world, event)
            continue
        _receive(world, event)
        if luck.random() < 0.1:  # what comes twice
            twice += 1
            _receive(world, event)
    return f"{len(arriving)} events, {lost} lost, {twice} twice"


def _receive(world: World, event: Json) -> None:
    response = post(world.client, event)
    must(response.status_code == 200, "a signed event was refused", event["type"], response)
    known = InboxEvent.objects.filter(event_id=event["id"]).count()
    must(known == 1, "an acknowledged event is not in the inbox once", event["type"], known)


def _miss(world: World, event: Json) -> None:
    subject = event["data"]["object"]
    customer = subject["id"] if subject["object"] == "customer" else subject.get("customer")
    player = world.player_of(customer)
    for one in world.players if player is None else [player]:
        one.missed = True


def work(world: World, player: Player, luck: random.Random) -> str:
    """A worker takes what is queued, in any order; sometimes it dies before the rest."""
    queue = world.stage.queue
    luck.shuffle(queue)
    wanted = luck.choice((len(queue), len(queue), len(queue) // 2))
    done = 0
    while queue and done < wanted:
        done += 1
        _run(world)
    if luck.random() < 0.15:  # what a broker forgets
        queue.clear()
    return f"{done} tasks"


def _run(world: World, tries: int = _REPEATED) -> None:
    job = world.stage.queue.pop()
    for _try in range(tries):
        try:
            job.task.run(*job.arguments)
        except StripeUnavailable:
            continue  # celery repeats it later
        except REFUSALS:
            return  # celery logs it
        return


def sweep(world: World, player: Player, luck: random.Random) -> str:
    """Beat: some of the periodic tasks, in any order, when their retries are due."""
    _make_due()
    chosen = luck.sample(sorted(SWEEPS), luck.randint(1, 3))
    for name in chosen:
        SWEEPS[name](world)
    return ", ".join(chosen)


def _make_due() -> None:
    """The waits that protect Stripe and mail servers are over."""
    breaker.answered()
    now = timezone.now()
    InboxEvent.objects.waiting().update(next_attempt_at=now)
    OverageReport.objects.filter(state="waiting").update(next_attempt_at=now)
    OutboxMessage.objects.filter(state="waiting").update(next_attempt_at=now)


def _let_sums_arrive() -> None:
    """Stripe's sums lag behind its events: ten minutes and more have passed."""
    OverageReport.objects.filter(state="waiting").update(
        tried_at=F("tried_at") - timedelta(minutes=11)
    )


def _announce(world: World) -> None:
    billing_tasks.announce_transitions()


def _end_unpaid(world: World) -> None:
    billing_tasks.end_unpaid_subscriptions()


def _sweep_inbox(world: World) -> None:
    billing_tasks.sweep_inbox()


def _packs(world: World) -> None:
    PackPurchase.objects.open().update(created_at=timezone.now() - timedelta(minutes=6))
    billing_tasks.settle_packs()


def _letters(world: World) -> None:
    """Each message leaves once."""
    mail.outbox.clear()
    before = set(OutboxMessage.objects.filter(state="sent").values_list("once_per", flat=True))
    billing_tasks.deliver_outbox()
    sent = OutboxMessage.objects.filter(state="sent").values_list("once_per", flat=True)
    fresh = [key for key in sent if key not in before]
    world.letters.update(fresh)
    must(len(mail.outbox) == len(fresh), "letters and messages differ", len(mail.outbox), fresh)


def _roll_up(world: World) -> None:
    quota_tasks.roll_up_usage()


def _overage(world: World) -> None:
    quota_tasks.report_overage()


def _holds(world: World) -> None:
    quota_tasks.expire_holds()


def _notices(world: World) -> None:
    quota_tasks.sweep_notices()


SWEEPS: Final = {
    "transitions": _announce,
    "unpaid": _end_unpaid,
    "inbox": _sweep_inbox,
    "packs": _packs,
    "letters": _letters,
    "roll-ups": _roll_up,
    "overage": _overage,
    "holds": _holds,
    "notices": _notices,
}


# --- Time -----------------------------------------------------------------------------------------


def time_passes(world: World, player: Player, luck: random.Random) -> str:
    """Stripe's clock of a customer, and our own of whoever has none."""
    seconds = luck.choice(LEAPS)
    customer = player.customer
    if customer:
        world.stage.simulator.advance(customer=customer, by_seconds=seconds)
        return f"{seconds // HOUR} h at Stripe"
    at = player.now + timedelta(seconds=seconds)
    BillingAccount.objects.filter(organization=player.organization).update(frozen_at=at)
    limits.void_readings(player.organization.pk, frozen_at=at)
    player.now = at
    return f"{seconds // HOUR} h"


def to_the_edge(world: World, player: Player, luck: random.Random) -> str:
    """The last instant of a usage period, or the first of the next."""
    flows = world.meters(Kind.FLOW)
    if player.customer or not flows:
        return "not here"
    end = enforcement.reading_of(player.organization.pk, flows[0]).period_end
    at = end - timedelta(microseconds=luck.choice((0, 1)))
    if at - player.now > timedelta(days=40):
        return "never resets"
    BillingAccount.objects.filter(organization=player.organization).update(frozen_at=at)
    limits.void_readings(player.organization.pk, frozen_at=at)
    player.now = at
    return "at the edge"


# --- What fails -----------------------------------------------------------------------------------


def stripe_fails(world: World, player: Player, luck: random.Random) -> str:
    kind = luck.choice(
        ("http_500", "http_429", "reset_connection", "timeout_after_processing", "partial_body")
    )
    times = luck.randint(1, 5)
    endpoint = luck.choice(("* /v1/*", "GET /v1/*", "POST /v1/*", "* /v1/billing/meter_events"))
    world.stage.simulator.fault(endpoint, kind, times)
    return f"{times} times {kind} at {endpoint}"


def stripe_recovers(world: World, player: Player, luck: random.Random) -> str:
    world.stage.simulator.clear_faults()
    breaker.answered()
    return "well again"


def redis_flushed(world: World, player: Player, luck: random.Random) -> str:
    refresh.flush()
    world.stage.redis.flushdb()
    _forget(world)
    for one in world.players:
        one.lied_to = False
    return "empty"


def redis_lies(world: World, player: Player, luck: random.Random) -> str:
    """Garbage, or a well-formed claim that there is room for ever."""
    meters = world.meters(Kind.LEVEL, Kind.FLOW, Kind.CEILING)
    if not meters:
        return "nothing to lie about"
    refresh.flush()
    key = f"quota:{{{player.organization.pk}}}"
    player.lied_to = True
    if luck.random() < 0.5:  # as often
        world.stage.redis.set(key, luck.randbytes(40))
        _forget(world)
        return "garbage"
    meter = luck.choice(meters)
    truth = enforcement.reading_of(player.organization.pk, meter)
    claim = truth.after(sequence=10**12, allowance=10**9, used=0)
    refresh.flush()
    world.stage.redis.delete(key)
    world.stage.redis.hset(key, f"{meter}|", b"%d|%s" % (claim.sequence, claim.to_json()))
    _forget(world)
    return "a lie"


def _forget(world: World) -> None:
    """As another process, which has no copies of its own."""
    counters.forget_locally()


def writer_killed(world: World, player: Player, luck: random.Random) -> str:
    """The backends of the engine's own connections, between two decisions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name LIKE 'ledgerline-%%' AND datname = current_database()"
        )
    return "killed"


def answer_lost(world: World, player: Player, luck: random.Random) -> str:
    """PostgreSQL has committed a decision, and the connection dies before the answer."""
    return _decided_under(world, player, luck, _lose_answer)


def cancelled(world: World, player: Player, luck: random.Random) -> str:
    """A statement that takes too long is cancelled; the same key is sent again."""
    return _decided_under(world, player, luck, _cancel)


def _decided_under(world: World, player: Player, luck: random.Random, trouble: Any) -> str:
    """The next call of the hot SQL meets it, and no other."""
    honest = ledger.apply
    left = [True]

    def apply(cursor: Any, requests: Any, **how: Any) -> Any:
        if not left[0]:
            return honest(cursor, requests, **how)
        left[0] = False
        return trouble(honest, cursor, requests, **how)

    ledger.apply = apply
    try:
        return luck.choice((satellites.consume, satellites.reserve, satellites.record))(
            world, player, luck
        )
    finally:
        ledger.apply = honest


def _lose_answer(honest: Any, cursor: Any, requests: Any, **how: Any) -> Any:
    honest(cursor, requests, **how)
    raise psycopg.OperationalError("the connection is lost")


def _cancel(honest: Any, cursor: Any, requests: Any, **how: Any) -> Any:
    raise psycopg.errors.QueryCanceled("statement timeout")


def head_held(world: World, player: Player, luck: random.Random) -> str:
    """Somebody's transaction holds the organization for longer than a decision waits."""
    meters = world.meters(Kind.LEVEL)
    if not meters:
        return "nothing is counted"
    settings = connection.get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold", "client_encoding"):
        settings.pop(name, None)
    line = Line(meters[0], 1)
    request = asking.use(Verb.CONSUME, player.organization.pk, [line], player.key())
    with psycopg.connect(**settings) as other:
        other.execute(
            "SELECT 1 FROM quota_head WHERE organization_id = %s FOR UPDATE",
            [player.organization.pk],
        )
        if player.books.last:
            _must_be_busy(request)
    return satellites.say(satellites.use_again(player, request))


def _must_be_busy(request: Request) -> None:
    (answer,) = enforcement.decide_all([request])
    must(isinstance(answer, Busy), "decided without the head", answer)


def reconcile_hourly(world: World, player: Player, luck: random.Random) -> str:
    with suppress(StripeUnavailable):
        reconcile.run()
    return "done"


ACTS: Final[dict[str, Act]] = {
    "deliver": deliver,
    "work": work,
    "sweep": sweep,
    "time": time_passes,
    "edge": to_the_edge,
    "Stripe fails": stripe_fails,
    "Stripe recovers": stripe_recovers,
    "Redis flushed": redis_flushed,
    "Redis lies": redis_lies,
    "writer killed": writer_killed,
    "answer lost": answer_lost,
    "statement cancelled": cancelled,
    "head held": head_held,
    "reconcile": reconcile_hourly,
}


# --- The end of a world ---------------------------------------------------------------------------


def settle(world: World) -> None:
    """Everything is well again, everything that was sent arrives, and all work is done."""
    world.stage.simulator.clear_faults()
    _let_everything_arrive(world)
    for name in ("transitions", "unpaid", "packs", "overage", "holds", "notices"):
        SWEEPS[name](world)
    _let_everything_arrive(world)
    for _round in range(_PATIENCE):  # what came while a report waited is written down after it
        reports = OverageReport.objects.count()
        waiting = OverageReport.objects.filter(state="waiting").exists()
        _make_due()
        _let_sums_arrive()
        _overage(world)
        if not waiting and OverageReport.objects.count() == reports:
            break
    if any(player.missed for player in world.players):
        reconcile.run()
        _let_everything_arrive(world)
    SWEEPS["letters"](world)
    SWEEPS["roll-ups"](world)
    refresh.flush()


def _let_everything_arrive(world: World) -> None:
    for _round in range(_PATIENCE):
        _make_due()
        world.listen()
        arriving, world.bag = world.bag, []
        for event in arriving:
            _receive(world, event)
        _sweep_inbox(world)
        if not world.stage.queue:
            return
        while world.stage.queue:
            _run(world)
