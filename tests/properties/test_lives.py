"""Whole lives, told in any way, end as they did when each event was told as it happened."""

from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from djstripe import models as mirrored
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing import catalog
from billing.catalog.apply import apply
from billing.gateway import locks, stripe_api
from billing.gateway.webhooks import processing
from billing.models import BillingAccount
from tests.billing.stripe_events import Stripe
from tests.billing.test_promo import offer
from tests.properties.lives import CODE, Life, Telling, divergences, forget, lives, tell

pytestmark = pytest.mark.django_db(transaction=True)

SOLD = {
    "suite": ("pro",),
    "sessions": ("starter", "pro", "team"),
    "containers": ("pro", "enterprise"),
}


@dataclass
class Shop:
    """An account at Stripe as it was before the first life, to begin each one with."""

    stripe: Stripe
    plans: tuple[str, ...]
    photograph: int
    done: Counter[str] = field(default_factory=Counter)
    retried: Counter[tuple[str, str]] = field(default_factory=Counter)
    told: int = 0
    events: int = 0

    def prove(self, steps, seed, *, tellings):
        life = self.begin()
        expected = life.live(steps)
        for number in range(tellings):
            how = telling(seed + number)
            found = tell(life, how)
            self.retried |= how.retried
            said = divergences(expected, found)
            assert not said, "\n".join([*said, f"told by seed {seed + number}", *map(str, steps)])
        self.told += tellings
        self.done += life.done
        self.events += sum(len(stage.events) for stage in life.stages)

    def begin(self):
        self.stripe.simulator.restore(self.photograph)
        forget()
        BillingAccount.objects.update(stripe_customer_id=None)
        return Life(self.stripe)

    def figures(self):
        refused = sum(n for name, n in self.done.items() if name.endswith("(refused)"))
        return (
            f"lives over {', '.join(self.plans)}: {self.told} histories told in any way,"
            f" {self.events:,} events of {self.done.total():,} steps ({refused:,} refused),"
            f" 0 divergences; put off for a while: {dict(self.retried)}"
        )


def telling(seed):
    """Two to four workers; every second time some events are lost, and made up for in the end."""
    return Telling(seed=seed, workers=2 + seed % 3, lost=0.15 if seed % 2 else 0.0)


@pytest.fixture
def open_shop(stripe, settings):
    def open_(name):
        settings.CATALOG = name
        stripe.simulator.reset()
        stripe.simulator.set_delivery("hold")
        stripe.simulator.set_webhook("http://ledgerline.test/webhooks/stripe", "whsec_unused")
        apply(catalog.current(), stripe_api, {})
        offer(CODE)
        return Shop(stripe, SOLD[name], stripe.simulator.photograph())

    return open_


def prove_lives(shop, *, wanted, steps, tellings=1, **how):
    at_least, at_most = steps

    @settings(
        max_examples=wanted,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        **how,
    )
    @given(
        steps=lives(plans=shop.plans, at_least=at_least, at_most=at_most),
        seed=st.integers(0, 2**32),
    )
    def prove(steps, seed):
        shop.prove(steps, seed, tellings=tellings)

    prove()


def test_a_life_told_in_any_way_ends_the_same(open_shop, report):
    shop = open_shop("suite")

    prove_lives(shop, wanted=2, steps=(4, 12), derandomize=True)

    report(shop.figures())


@pytest.mark.verify
@pytest.mark.parametrize(("name", "wanted"), [("suite", 50), ("sessions", 30), ("containers", 20)])
def test_two_hundred_histories_of_whole_lives_end_the_same(open_shop, report, name, wanted):
    """A hundred lives of up to forty steps, each of them told in two more ways."""
    shop = open_shop(name)

    prove_lives(shop, wanted=wanted, steps=(12, 40), tellings=2)

    assert shop.told >= 2 * wanted
    report(shop.figures())


# --- Seeded bugs: the proof above must notice them ----------------------------------------------

CHANGEFUL = [
    ("checkout", {"plan_key": "pro", "interval": "month", "card": "success"}),
    ("seats", 4),
    ("end now", None),
]
# Each event once and soon, so that no later one repairs what went wrong; old answers come late.
HARD = Telling(seed=0, late=0.3, twice=0.0, cloned=0.0, late_answers=0.4, late_seconds=0.3)
MIRRORED = {
    "customer": mirrored.Customer,
    "invoice": mirrored.Invoice,
    "payment_method": mirrored.PaymentMethod,
    "subscription": mirrored.Subscription,
}


def without_the_lock(monkeypatch):
    monkeypatch.setattr(locks, "try_customer", lambda customer_id: True)


def with_trusted_payloads(monkeypatch):
    ask_stripe = processing._mirror_event

    def believe(row):
        told = row.payload["data"]["object"]
        if told["object"] in MIRRORED:
            MIRRORED[told["object"]].sync_from_stripe_data(told)
        else:
            ask_stripe(row)

    monkeypatch.setattr(processing, "_mirror_event", believe)


def tellings_until_a_divergence(shop, *, at_most):
    """How many it takes; an error that only a bug can cause counts as one."""
    life = shop.begin()
    expected = life.live(CHANGEFUL)
    for number in range(at_most):
        how = replace(HARD, seed=number)
        try:
            if divergences(expected, tell(life, how)):
                return number + 1
        except AssertionError:
            return number + 1
    return None


@pytest.mark.verify
@pytest.mark.parametrize("bug", [without_the_lock, with_trusted_payloads])
def test_a_seeded_bug_makes_lives_diverge(open_shop, monkeypatch, report, bug):
    shop = open_shop("suite")
    life = shop.begin()
    honest = life.live(CHANGEFUL)
    assert divergences(honest, tell(life, HARD)) == []
    bug(monkeypatch)

    noticed = tellings_until_a_divergence(shop, at_most=60)

    report(f"{bug.__name__}: noticed by telling number {noticed}")
    assert noticed is not None
