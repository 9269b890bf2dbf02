"""The engine against its reference: any history of verbs, time, plans, credits and lost caches.

Real PostgreSQL by the writer, real Redis. `QUOTA_RUNS` and `QUOTA_STEPS` make it longer, as
`make properties` does.
"""

import os
import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from quotas.engine import asking, counters, enforcement, ledger, limits, refresh
from quotas.engine.decisions import Line
from quotas.engine.periods import add_months, period_at
from quotas.exceptions import (
    IdempotencyConflict,
    InvalidRequest,
    KeyGone,
    NothingToRelease,
    ReleaseExceedsUsage,
    ReservationEnded,
    StaleObservation,
)
from quotas.models import Balance, Credit, PeriodRule, UsageEvent, Verb
from tests.factories.quotas import ANCHOR, CreditFactory, limit_of, limited
from tests.properties.quota_reference import Hold, Pack, Reference, Terms
from tests.quotas.conftest import _fresh_copies, _lanes_end, durable

pytestmark = pytest.mark.early

__all__ = ["_fresh_copies", "_lanes_end", "durable"]

RUNS = int(os.environ.get("QUOTA_RUNS", "300"))
STEPS = int(os.environ.get("QUOTA_STEPS", "40"))
# Every answer is compared; the sums behind them every so many steps, and at the end of each run.
LOOK_EVERY = 8

# As they are. A run decides lines by themselves where they are few, or every call as a set, or
# every call line by line.
FEW_LINES, ARE_A_SET = ledger.FEW_LINES, ledger._are_a_set
WAYS = ("line", "set", "batch")


def never(requests):
    return False


STORAGE, QUERIES = "storage", "ai_queries"
START = datetime(2026, 11, 20, 12, tzinfo=UTC)

amounts = st.integers(1, 12)
members = st.sampled_from(["anh", "bao"])
meters = st.sampled_from([STORAGE, QUERIES])
keys = st.integers(0, 8)
terms = st.fixed_dictionaries(
    {
        "amount": st.one_of(st.none(), st.integers(0, 30)),
        "hard": st.booleans(),
        "cap": st.one_of(st.none(), st.integers(0, 10)),
        "enforcement": st.sampled_from(["enforce"] * 4 + ["observe", "disabled"]),
        "refusal": st.sampled_from([""] * 8 + ["feature_unavailable"]),
    }
)


def month_of(at):
    return period_at(PeriodRule.BILLING, ANCHOR, at).start


class QuotaModel(RuleBasedStateMachine):
    """Every rule does one thing to both and compares what they say."""

    holds = Bundle("holds")
    ways = WAYS

    @initialize(per_member=st.booleans(), soft=st.booleans(), turn=st.integers(0, len(WAYS) - 1))
    def an_organization(self, per_member, soft, turn):
        way = self.ways[turn % len(self.ways)]
        ledger.FEW_LINES = FEW_LINES if way == "line" else 0
        ledger._are_a_set = ARE_A_SET if way == "set" else never
        self.organization = limited()
        self.model = Reference(START, month_of)
        self.per_member = per_member
        self.packs = 0
        self.steps = 0
        self.ids = {}
        plain = {"enforcement": "enforce", "refusal": ""}
        self._set(STORAGE, amount=20, hard=True, cap=None, **plain)
        self._set(QUERIES, amount=8 if soft else 20, hard=not soft, cap=10, **plain)
        self._changed(frozen_at=START)

    def _set(self, meter, *, cap, **fields):
        flow = meter == QUERIES
        each = flow and self.per_member
        self.model.terms[meter] = Terms(flow=flow, cap=cap, per_member=each, **fields)
        limit_of(
            self.organization, meter, per_member=each, overage_cap=cap, at=self.model.now, **fields
        )
        self._changed()

    def _changed(self, **head):
        limits.void_readings(self.organization.pk, **head)

    # --- What callers do ------------------------------------------------------------------

    @rule(meter=meters, member=members, amount=amounts, key=keys)
    def consume(self, meter, member, amount, key):
        self._use(Verb.CONSUME, [(meter, member, amount)], key)

    @rule(
        meter=meters,
        member=members,
        amount=amounts,
        key=keys,
        days=st.one_of(st.just(0), st.integers(1, 34)),
    )
    def record(self, meter, member, amount, key, days):
        at = self.model.now - timedelta(days=days) if days else None
        self._use("record", [(meter, member, amount)], key, at)

    @rule(
        lines=st.lists(st.tuples(meters, members, amounts), min_size=2, max_size=3),
        key=keys,
    )
    def consume_several(self, lines, key):
        self._use(Verb.CONSUME, lines, key)

    @rule(meter=meters, member=members, key=st.integers(9, 40), beyond=st.booleans())
    def consume_up_to_the_edge(self, meter, member, key, beyond):
        amount = self._edge(meter, member, beyond)
        if amount > 0:
            self._use(Verb.CONSUME, [(meter, member, amount)], key)

    @rule(meter=meters, member=members, beyond=st.booleans())
    def check_at_the_edge(self, meter, member, beyond):
        amount = self._edge(meter, member, beyond)
        if amount > 0:
            self._check(meter, member, amount)

    def _edge(self, meter, member, beyond):
        """The largest amount that is admitted, or the smallest that is not."""
        sizes = range(1, 80)
        first = next((n for n in sizes if self.model.refusal(meter, member, n)), 0)
        return first if beyond else first - 1

    @rule(
        calls=st.lists(
            st.tuples(st.sampled_from([Verb.CONSUME, Verb.RECORD]), meters, members, amounts, keys),
            min_size=2,
            max_size=5,
        )
    )
    def several_at_once(self, calls):
        """One commit, and yet as if one came after the other."""
        said = [(verb, [tuple(line)], key) for verb, *line, key in calls]
        expected = [self.model.use(key, verb, lines, None) for verb, lines, key in said]
        requests = [self._request(verb, lines, key) for verb, lines, key in said]
        for answer, wanted in zip(enforcement.decide_all(requests), expected, strict=True):
            if wanted is None:
                assert isinstance(answer, IdempotencyConflict)
            else:
                self._same(answer.lines[0], wanted[0])

    def _request(self, verb, lines, key, at=None):
        return asking.use(
            verb,
            self.organization.pk,
            [Line(meter, amount, member) for meter, member, amount in lines],
            f"key-{key}",
            occurred_at=at,
        )

    def _use(self, verb, lines, key, at=None):
        expected = self.model.use(key, verb, lines, at)
        request = self._request(verb, lines, key, at)
        if expected is None:
            with pytest.raises(IdempotencyConflict):
                enforcement.decided(request)
            return
        answers = enforcement.decided(request).lines
        for answer, wanted in zip(answers, expected, strict=True):
            self._same(answer, wanted)

    @rule(key=keys)
    def release(self, key):
        self._release(key)

    @rule(key=keys)
    def release_when_the_plan_has_lost_its_limit(self, key):
        plain = {"enforcement": "enforce", "refusal": ""}
        self._set(QUERIES, amount=None, hard=False, cap=None, **plain)
        self._release(key)

    def _release(self, key):
        errors = {
            "gone": KeyGone,
            "not_consumed": NothingToRelease,
            "exceeds": ReleaseExceedsUsage,
        }
        expected = self.model.release(key)
        if isinstance(expected, str):
            with pytest.raises(errors[expected]):
                enforcement.release(self.organization, idempotency_key=f"key-{key}")
            return
        answers = enforcement.release(self.organization, idempotency_key=f"key-{key}").lines
        for answer, wanted in zip(answers, expected, strict=True):
            self._same(answer, wanted)

    @rule(amount=amounts)
    def release_amount(self, amount):
        wanted = self.model.release_amount(STORAGE, "", amount)
        self._same(enforcement.release_amount(self.organization, STORAGE, amount), wanted)

    @rule(value=st.integers(0, 40), minutes=st.integers(0, 200))
    def set_level(self, value, minutes):
        observed_at = START - timedelta(days=30) + timedelta(minutes=minutes)
        wanted = self.model.set_level(STORAGE, value, observed_at)
        if wanted is None:
            if self.model.sum(self.model.place(STORAGE, "")).observed_at != observed_at:
                with pytest.raises(StaleObservation):
                    self._level(value, observed_at)
            return
        self._same(self._level(value, observed_at), wanted)

    def _level(self, value, observed_at):
        return enforcement.set_level(self.organization, STORAGE, value, observed_at=observed_at)

    @rule(
        target=holds,
        meter=meters,
        member=members,
        amount=amounts,
        seconds=st.sampled_from([60, 3600]),
    )
    def reserve(self, meter, member, amount, seconds):
        hold, wanted = self.model.reserve(meter, member, amount, seconds)
        self.packs += 1
        answer = enforcement.reserve(
            self.organization,
            meter,
            amount,
            idempotency_key=f"hold-{self.packs}",
            expires_in=seconds,
            member=member,
        )
        self._same(answer.decision, wanted)
        assert (answer.id is None) == (hold is None)
        if hold is None:
            return multiple()
        self.ids[id(hold)] = answer.id
        return hold

    @rule(hold=holds, amount=st.integers(0, 13))
    def commit(self, hold: Hold, amount):
        self._commit(hold, amount)

    def _commit(self, hold: Hold, amount):
        if id(hold) not in self.ids:
            return
        errors = {
            "conflict": IdempotencyConflict,
            "ended": ReservationEnded,
            "too_much": InvalidRequest,
        }
        name = self.ids[id(hold)]
        wanted = self.model.commit(hold, amount)
        if wanted == "again":
            assert enforcement.commit(name, amount).replayed
        elif isinstance(wanted, str):
            with pytest.raises(errors[wanted]):
                enforcement.commit(name, amount)
        else:
            self._same(enforcement.commit(name, amount), wanted)

    @rule(hold=holds, key=st.integers(41, 60))
    def a_hold_expires_at_this_instant(self, hold: Hold, key):
        if id(hold) in self.ids and hold.state == "open" and hold.expires_at > self.model.now:
            self._now(hold.expires_at)
            meter, member, _start = hold.place
            self._use(Verb.CONSUME, [(meter, member or "anh", 1)], key)
            self._commit(hold, hold.amount)

    @rule(hold=holds)
    def void(self, hold: Hold):
        if id(hold) not in self.ids:
            return
        name = self.ids[id(hold)]
        wanted = self.model.void(hold)
        if wanted == "again":
            assert enforcement.void(name).replayed
        elif wanted == "ended":
            with pytest.raises(ReservationEnded):
                enforcement.void(name)
        else:
            self._same(enforcement.void(name), wanted)

    @rule(meter=meters, member=members, amount=amounts)
    def check(self, meter, member, amount):
        self._check(meter, member, amount)

    def _check(self, meter, member, amount):
        answer = enforcement.check(self.organization, meter, amount, member=member)
        reason = self.model.refusal(meter, member, amount)
        place = self.model.place(meter, member)
        denied = reason is not None and self.model.terms[meter].enforcement == "enforce"
        self._same(answer, self.model.answer(place, allowed=not denied, reason=reason))

    def _same(self, answer, wanted):
        got = (
            answer.allowed,
            answer.reason,
            answer.used,
            answer.held,
            answer.remaining,
            answer.overage,
        )
        expected = (
            wanted.allowed,
            wanted.reason,
            wanted.used,
            wanted.held,
            wanted.remaining,
            wanted.overage,
        )
        assert got == expected

    # --- What happens around them ---------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 59, 60, 3600, 86_400]))
    def time_passes(self, seconds):
        self._now(self.model.now + timedelta(seconds=seconds))

    @rule(before=st.booleans())
    def the_period_ends(self, before):
        end = period_at(PeriodRule.BILLING, ANCHOR, self.model.now).end
        self._now(end - timedelta(microseconds=1) if before else end)

    def _now(self, at):
        if at <= add_months(START, 3):
            self.model.now = at
            self._changed(frozen_at=at)

    @rule(meter=meters, fields=terms)
    def the_plan_changes(self, meter, fields):
        self._set(meter, **fields)

    @rule(member=members, cap=st.one_of(st.none(), st.integers(0, 10)))
    def the_plan_shrinks_below_what_is_used(self, member, cap):
        used = self.model.sum(self.model.place(QUERIES, member)).used
        plain = {"enforcement": "enforce", "refusal": ""}
        self._set(QUERIES, amount=max(used - 3, 0), hard=False, cap=cap, **plain)

    @rule(access=st.sampled_from(["full", "full", "restricted", "read_only"]))
    def access_changes(self, access):
        self.model.access = access
        self._changed(access=access)

    @precondition(lambda self: self.packs < 20)
    @rule(
        amount=st.integers(1, 15),
        priority=st.integers(1, 2),
        days=st.one_of(st.none(), st.integers(1, 20)),
    )
    def credits_are_bought(self, amount, priority, days):
        expires_at = None if days is None else self.model.now + timedelta(days=days)
        pack = CreditFactory.create(
            organization=self.organization,
            amount=amount,
            priority=priority,
            expires_at=expires_at,
            starts_at=START - timedelta(days=90),
        )
        self.packs += 1
        self.model.buy(QUERIES, Pack(pack.pk, amount, amount, priority, expires_at))
        self._changed()

    @rule(junk=st.booleans())
    def redis_is_lost(self, junk):
        refresh.flush()  # a reading on its way may be some milliseconds old, by design
        with Redis.from_url(os.environ["REDIS_URL"]) as redis:  # patient, unlike the engine
            redis.delete(f"quota:{{{self.organization.pk}}}")
            if junk:
                value = random.randbytes(20)  # noqa: S311  junk
                redis.set(f"quota:{{{self.organization.pk}}}", value)
        counters.forget_locally()

    @rule()
    def another_process_asks(self):
        refresh.flush()
        counters.forget_locally()

    # --- What always holds ----------------------------------------------------------------

    @invariant()
    def every_sum_is_right(self):
        if not hasattr(self, "model"):
            return
        self.steps += 1
        if self.steps % LOOK_EVERY == 0:
            self._look()

    def teardown(self):
        ledger.FEW_LINES, ledger._are_a_set = FEW_LINES, ARE_A_SET
        if hasattr(self, "model"):
            self._look()

    def _look(self):
        self._the_balances_are_the_references()
        self._the_ledger_adds_up_to_the_balances()

    def _the_balances_are_the_references(self):
        rows = {
            (row.meter, row.member, row.period_start if row.meter == QUERIES else None): (
                row.used,
                row.credited,
                row.overage,
            )
            for row in Balance.objects.filter(organization=self.organization)
        }
        wanted = {
            place: (found.used, found.credited, found.overage)
            for place, found in self.model.sums.items()
        }
        empty = (0, 0, 0)
        for place in rows.keys() | wanted.keys():
            assert rows.get(place, empty) == wanted.get(place, empty), place
        left = dict(
            Credit.objects.filter(organization=self.organization).values_list("pk", "remaining")
        )
        assert left == {pack.name: pack.left for pack in self.model.packs.get(QUERIES, [])}

    def _the_ledger_adds_up_to_the_balances(self):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM plan_usage b WHERE b.organization_id = %s AND b.used <> ("
                " SELECT coalesce(sum(e.delta), 0) + b.checkpoint FROM usage_event e"
                " JOIN usage_limit l ON l.organization_id = e.organization_id"
                "  AND l.meter = e.meter"
                " WHERE e.organization_id = b.organization_id AND e.meter = b.meter"
                "  AND e.period_start = b.period_start"
                "  AND CASE WHEN l.per_member THEN e.member ELSE '' END = b.member)",
                [self.organization.pk],
            )
            assert cursor.fetchone() == (0,)
        events = UsageEvent.objects.filter(organization=self.organization)
        assert not events.filter(accepted=False).exclude(delta=0).exists()
        numbers = list(events.values_list("sequence", flat=True))
        assert len(numbers) == len(set(numbers))


@pytest.fixture
def hasty(monkeypatch):
    """What Redis shall hear is written at once: the model waits for it a thousand times."""
    monkeypatch.setattr(refresh, "PAUSE_SECONDS", 0.001)


@pytest.mark.usefixtures("durable", "hasty")
def test_the_engine_answers_as_its_reference(monkeypatch):
    # A renewal on its way may be some milliseconds old, by design.
    monkeypatch.setattr(counters, "RENEW_SECONDS", 0.0)
    run_state_machine_as_test(
        QuotaModel,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
