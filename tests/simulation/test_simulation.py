"""Worlds from one seed: nothing breaks in them, the same seed plays the same, and what is planted
is found."""

import os
from contextlib import contextmanager
from dataclasses import replace

import pytest

from billing.gateway import stripe_api
from billing.gateway.webhooks import inbox
from billing.messages import outbox
from billing.models import BillingAccount, OutboxMessage
from billing.subscription import metering
from quotas.api.bearers import Bearer
from quotas.engine import counters, holds, install
from quotas.engine.install import SQL
from quotas.reading import rollups
from tests.properties.test_quota_mutations import MUTANTS
from tests.quotas.conftest import _fresh_copies, _lanes_end, durable
from tests.simulation import playing, stage

__all__ = ["_fresh_copies", "_lanes_end", "durable"]

pytestmark = pytest.mark.usefixtures("durable")

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "40"))
WORLDS_PER_BUG = 25
SHORT = ("tokens",)  # no overage, no add-ons: the quickest to publish


@pytest.fixture
def open_stage(stripe_simulator, redis_server):
    @contextmanager
    def opening(catalogues=stage.CATALOGUES):
        with stage.opened(stripe_simulator, redis_server, catalogues) as opened:
            yield opened

    yield opening
    install.install()
    stage.empty()


def test_a_world_holds_and_is_the_same_again(open_stage):
    with open_stage(SHORT) as playground:
        short = playing.draw(3, playground)
        short = short.only(short.steps[:25])
        once, again = (playing.play(playground, short) for _ in range(2))

    assert isinstance(once, playing.Played), once
    assert once.trace == again.trace
    assert once.digest == again.digest


@pytest.mark.verify
def test_nothing_breaks_in_any_world(open_stage, report):
    steps = 0
    with open_stage() as playground:
        for seed in range(1, SEEDS + 1):
            played = playing.play(playground, playing.draw(seed, playground))
            assert isinstance(played, playing.Played), playing.shortest(playground, played)
            steps += played.done.total()

    report(f"{SEEDS} worlds of {stage.CATALOGUES}: {steps} steps, nothing broken")


# --- Seeded bugs ------------------------------------------------------------------------------


def sql(name):
    """One of the bugs that the quota model knows."""
    file, line, bug = MUTANTS[name]

    def plant(_monkeypatch):
        source = (SQL / f"{file}.sql").read_text()
        assert line in source, f"{file}.sql no longer has: {line}"
        stage.run_sql(source.replace(line, bug))

    return plant


def patched(owner, name, bug):
    def plant(monkeypatch):
        monkeypatch.setattr(owner, name, bug(getattr(owner, name)))

    return plant


def forgetful(_store):
    return lambda found, headers: None


def one_unit_more(send):
    def more(event):
        return send(replace(event, units=event.units + 1))

    return more


def unmarked(deliver):
    """It has left, and nobody wrote it down."""

    def again(pk):
        sent = deliver(pk)
        OutboxMessage.objects.filter(pk=pk, state="sent").update(state="waiting")
        return sent

    return again


def of_the_first_payer(create):
    def opened(params):
        first = BillingAccount.objects.exclude(stripe_customer_id=None).order_by("created_at", "pk")
        return create({**params, "customer": first[0].stripe_customer_id})

    return opened


def expiring_at_every_look(monkeypatch):
    for name in ("_OVERDUE", "_EXPIRE"):
        statement = getattr(holds, name)
        bug = statement.replace("r.state = 'open'", "r.state IN ('open', 'expired')")
        assert bug != statement
        monkeypatch.setattr(holds, name, bug)


def silent(_told):
    return lambda *_what: None


OF_THE_ENGINE = (
    "the limit is off by one",
    "a refused group keeps its first lines",
    "an older observation wins",
    "a commit frees only what it counts",
    "another body is answered like the first",
    "a key is forgotten",
)
BUGS = {name: sql(name) for name in OF_THE_ENGINE} | {
    "an acknowledged event is not stored": patched(inbox, "store", forgetful),
    "Stripe hears of one unit more": patched(metering, "send", one_unit_more),
    "a portal shows another organization's customer": patched(
        stripe_api, "create_portal_session", of_the_first_payer
    ),
    "a letter leaves and is not marked": patched(outbox, "_deliver", unmarked),
    "a hold expires at every look": expiring_at_every_look,
    "charts leave out what is late": patched(
        rollups, "_DIRTY", lambda statement: f"{statement} AND NOT e.late"
    ),
    "a check believes a reading of the plan before": patched(counters, "forget", silent),
    "a token reaches every organization": patched(Bearer, "may_name", silent),
}


@pytest.mark.verify
@pytest.mark.parametrize("name", BUGS)
def test_a_world_finds_that(name, open_stage, monkeypatch, report):
    with open_stage(("suite",)) as playground:
        BUGS[name](monkeypatch)
        found = worlds_until_it_breaks(playground)

    assert found is not None, f"{name}: no world noticed"
    seed, sentence = found
    report(f"{name}: seed {seed}, {sentence[:80]}")


def worlds_until_it_breaks(playground):
    for seed in range(1, WORLDS_PER_BUG + 1):
        played = playing.play(playground, playing.draw(seed, playground))
        if isinstance(played, playing.Found):
            return seed, played.sentence
    return None
