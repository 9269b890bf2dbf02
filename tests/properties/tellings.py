"""A life told again in another way: late, twice, never, and by workers who overtake each other."""

import random
import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from unittest import mock
from urllib.parse import urlsplit
from uuid import uuid4

import stripe as sdk
from django.test import Client
from django.utils import timezone

from billing.entitlement import store
from billing.gateway import reconcile
from billing.gateway.webhooks import processing
from billing.messages import causes
from billing.models import BillingAccount, CheckoutIntent, InboxEvent
from quotas.models import QuotaHead
from tests.billing.racing import in_parallel
from tests.billing.stripe_events import drain_all, post
from tests.properties.lives import Ending, Json, Life, Stage, Witness, forget

PATIENCE_SECONDS = 300
HELD_SECONDS = 60


@dataclass(frozen=True)
class Telling:
    """Late, twice, under second ids, or never: what becomes of events, by shares of all.

    Where none is lost, events alone must do; else a reconcile follows in the end. A share of
    Stripe's answers is old when it arrives. And where a step changed what the step before it had
    changed, a share of the workers who ask in between has its answer in hand until the others are
    through: whoever writes last has the oldest answer.
    """

    seed: int
    workers: int = 4
    late: float = 0.5
    twice: float = 0.2
    cloned: float = 0.15
    lost: float = 0.0
    late_answers: float = 0.1
    late_seconds: float = 0.05
    held: float = 0.4
    retried: Counter[tuple[str, str]] = field(default_factory=Counter)
    overtaken: Counter[str] = field(default_factory=Counter)

    def schedule(self, stages: list[Stage]) -> list[list[Json]]:
        """For each stage the events that reach us while Stripe goes on to the next."""
        chance = random.Random(self.seed)  # noqa: S311 (a repeatable order is wanted)
        arriving: list[list[Json]] = [[] for _ in stages]
        for number, stage in enumerate(stages):
            for event in stage.events:
                for copy in self._copies(event, chance):
                    late = chance.random() < self.late
                    when = chance.randrange(number, len(stages)) if late else number
                    arriving[when].append(copy)
        for events in arriving:
            chance.shuffle(events)
        return arriving

    def scenes(self, stages: list[Stage]) -> "Iterator[Scene]":
        """Up to three stages at once, so that workers of different stages meet."""
        arriving = self.schedule(stages)
        chance = random.Random(self.seed)  # noqa: S311 (a repeatable choice is wanted)
        start = 0
        while start < len(stages):
            stop = min(start + chance.randint(1, 3), len(stages))
            overtaking = None
            if chance.random() < self.held:
                found = _overtakings(stages, arriving, start)
                overtaking = chance.choice(found) if found else None
                stop = max(stop, start + 2) if found else start + 1
            yield Scene(range(start, stop), arriving[start:stop], overtaking)
            start = stop

    def _copies(self, event: Json, chance: random.Random) -> list[Json]:
        if chance.random() < self.lost:
            return []
        copies = [event]
        if chance.random() < self.twice:
            copies.append(event)
        if chance.random() < self.cloned:
            copies.append({**event, "id": f"evt_{uuid4().hex}"})
        return copies


@dataclass(frozen=True)
class Overtaking:
    """Whoever hears of the first event is overtaken by whoever hears of the second one."""

    subject: str
    first: Json
    second: Json


@dataclass(frozen=True)
class Scene:
    """Stages of Stripe that workers meet in, and the events that arrive at each of them."""

    stages: range
    arriving: list[list[Json]]
    overtaking: Overtaking | None


# What one event after another changes; charges and the like are written once.
_CHANGING: Final = {"customer", "subscription", "invoice"}


def _overtakings(stages: list[Stage], arriving: list[list[Json]], start: int) -> list[Overtaking]:
    """One for each object that the stage after `start` changes and that we hear of at both."""
    if start + 1 == len(stages):
        return []
    changed = {_subject(event) for event in stages[start + 1].events}
    earlier = {_subject(event): event for event in arriving[start]}
    later = {_subject(event): event for event in arriving[start + 1]}
    return [
        Overtaking(subject, earlier[subject], later[subject])
        for subject in sorted(changed & earlier.keys() & later.keys())
        if earlier[subject]["data"]["object"]["object"] in _CHANGING
        and earlier[subject]["id"] != later[subject]["id"]
    ]


def _subject(event: Json) -> str:
    return str(event["data"]["object"].get("id"))


def tell(life: Life, how: Telling) -> Ending:
    """The same life for an installation that has forgotten it; Stripe goes through it once more."""
    simulator = life.stripe.simulator
    _begin_again(life)
    witness = Witness(life.organization)
    simulator.fault(
        *("GET /v1/*", "late_answer", 10**6), seconds=how.late_seconds, share=how.late_answers
    )
    for scene in how.scenes(life.stages):
        _play(life, scene, how)
        drain_all()
        how.retried.update(InboxEvent.objects.waiting().values_list("type", "note"))
        witness.let_time_pass()
    simulator.clear_faults()
    if how.lost:
        reconcile.run()
    _try_again()
    assert _unsettled() == []
    return witness.ending()


def _play(life: Life, scene: Scene, how: Telling) -> None:
    if scene.overtaking is None:
        chance = random.Random(how.seed + scene.stages.start)  # noqa: S311 (a repeatable order)
        in_parallel(how.workers, _acts(life, scene, chance))
        return
    with held_answer(scene.overtaking.subject) as held:
        in_parallel(how.workers, _acts_behind(life, scene, held))
    how.overtaken[scene.overtaking.first["data"]["object"]["object"]] += held.was_given


def _try_again() -> None:
    """What failed for a moment comes again after its delay: two workers at one new row, say."""
    for _ in range(3):
        InboxEvent.objects.waiting().update(next_attempt_at=timezone.now())
        drain_all()


def _unsettled() -> list[tuple[str, str, str]]:
    rows = InboxEvent.objects.waiting() | InboxEvent.objects.dead()
    return list(rows.values_list("type", "customer_id", "note"))


def _acts(life: Life, scene: Scene, chance: random.Random) -> list[Callable[[], object]]:
    """What the workers do in turn: events of a stage, and somewhere among them Stripe goes on.

    Nobody hears of a stage before Stripe has reached it; who still works on the one before it
    may find that Stripe has gone on.
    """
    reached = _marks(scene)
    acts: list[Callable[[], object]] = []
    for number, arriving in zip(scene.stages, scene.arriving, strict=True):
        events = [partial(_receive, event, reached[number]) for event in arriving]
        goes_on = partial(_go_on, life, number + 1, reached[number + 1])
        events.insert(chance.randrange(len(events) + 1), goes_on)
        acts += events
    return acts


def _acts_behind(life: Life, scene: Scene, held: "HeldAnswer") -> list[Callable[[], object]]:
    """One worker has Stripe's answer of the first stage in hand until the others are through.

    Its event comes alone and the one that overtakes it next, or workers without a lock would wait
    for its uncommitted row and never do harm.
    """
    (first, second, *_more), overtaking = scene.stages, scene.overtaking
    assert overtaking is not None
    reached = _marks(scene)
    rest = [list(events) for events in scene.arriving]
    rest[0].remove(overtaking.first)
    rest[1].remove(overtaking.second)
    acts: list[Callable[[], object]] = [
        partial(held.give_to, partial(_receive, overtaking.first, reached[first])),
        partial(_go_on, life, second, reached[second], after=held.given),
        partial(_receive, overtaking.second, reached[second], then=held.overtaken),
    ]
    for number, arriving in zip(scene.stages, rest, strict=True):
        if number > second:
            acts.append(partial(_go_on, life, number, reached[number], after=held.overtaken))
        acts += [partial(_receive, one, reached[number], after=held.overtaken) for one in arriving]
    end = scene.stages.stop
    acts.append(partial(_go_on, life, end, reached[end], after=held.overtaken))
    return [*acts, held.let_go]


def _marks(scene: Scene) -> dict[int, threading.Event]:
    """Set when Stripe has reached the stage of that number."""
    reached = {number: threading.Event() for number in (*scene.stages, scene.stages.stop)}
    reached[scene.stages.start].set()
    return reached


def _receive(
    event: Json,
    reached: threading.Event,
    *,
    after: threading.Event | None = None,
    then: threading.Event | None = None,
) -> None:
    """A sender and, at once, a worker."""
    assert (after or reached).wait(PATIENCE_SECONDS)
    assert reached.wait(PATIENCE_SECONDS)
    assert post(Client(), event).status_code == 200
    subject = event["data"]["object"]
    customer = subject["id"] if subject["object"] == "customer" else subject.get("customer")
    processing.drain(customer or "")
    if then is not None:
        then.set()


def _go_on(
    life: Life, stage: int, reached: threading.Event, *, after: threading.Event | None = None
) -> None:
    if after is not None:
        assert after.wait(PATIENCE_SECONDS)
    life.stripe.simulator.restore(life.stages[min(stage, len(life.stages) - 1)].photograph)
    reached.set()


class HeldAnswer:
    """Stripe's answer about one object, in the hands of one worker who does not go on with it."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._worker: int | None = None
        self._go_on = threading.Event()
        # Set when the worker has the answer, or has done without one.
        self.given = threading.Event()
        # Set when somebody else has heard of what happened since.
        self.overtaken = threading.Event()
        self.was_given = False

    def give_to(self, act: Callable[[], object]) -> None:
        self._worker = threading.get_ident()
        try:
            act()
        finally:
            self._worker = None
            self.given.set()

    def let_go(self) -> None:
        self._go_on.set()

    def pass_on(self, url: str) -> None:
        """In the thread that has just had an answer from this address."""
        mine = threading.get_ident() == self._worker and not self.was_given
        if mine and urlsplit(url).path.endswith(f"/{self._subject}"):
            self.was_given = True
            self.given.set()
            self._go_on.wait(HELD_SECONDS)


@contextmanager
def held_answer(subject: str) -> Iterator[HeldAnswer]:
    """The first answer about this object waits with whoever is given it."""
    held = HeldAnswer(subject)
    ask = sdk.RequestsClient.request

    def asked(self: Any, method: str, url: str, *args: Any) -> Any:
        answer = ask(self, method, url, *args)
        held.pass_on(url)
        return answer

    with mock.patch.object(sdk.RequestsClient, "request", asked):
        yield held


def _begin_again(life: Life) -> None:
    life.stripe.simulator.restore(life.stages[0].photograph)
    forget()
    began = {"frozen_at": life.began}
    BillingAccount.objects.filter(organization=life.organization).update(**began)
    QuotaHead.objects.filter(organization=life.organization).update(**began)
    newest = life.organization.checkout_intents.order_by("pk").last()
    if newest is not None:  # whoever began it ended the earlier ones
        newest.state, newest.completed_at = CheckoutIntent.State.OPEN, None
        newest.save()
    store.current(life.organization)


def divergences(expected: Ending, found: Ending) -> list[str]:
    """Sentences; none when both tellings ended alike."""
    said = [
        f"{name}: {found.rows[name]!r} instead of {value!r}"
        for name, value in expected.rows.items()
        if found.rows[name] != value
    ]
    for name in ("readings", "receipts", "failed_and_open"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        if ours != theirs:
            said.append(f"{name}: {ours!r} instead of {theirs!r}")
    said += [f"{key} was mailed {n} times" for key, n in found.mailed.items() if n > 1]
    return said + _untrue_mails(expected.mailed, found.mailed)


def _untrue_mails(expected: Iterable[str], found: Iterable[str]) -> list[str]:
    """Mails of what never happened, and second mails of one step down.

    A step down to another plan is named by the period in which we heard of it. It may be heard of
    late (never early), and until the next one to the same plan it is told at most once.
    """
    steps: dict[str, list[str]] = {}
    for key in sorted(expected):
        what, period = _step_down(key)
        steps.setdefault(what, []).append(period)
    said, told = [], set()
    for key in sorted(found):
        what, period = _step_down(key)
        happened = bisect_right(steps.get(what, []), period) - 1
        if happened < 0:
            said.append(f"{key} was never true")
        elif (what, happened) in told:
            said.append(f"{key} was told before, under an earlier period")
        told.add((what, happened))
    return said


def _step_down(key: str) -> tuple[str, str]:
    """What it names, and the period in which it was heard of; for any other mail none."""
    kind, _, cause = key.partition(":")
    if kind != "mail.downgraded" or cause.endswith(causes.ENDED):
        return key, ""
    subscription, plan, period = cause.split(":", 2)
    return f"{kind}:{subscription}:{plan}", period
