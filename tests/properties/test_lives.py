"""Whole lives, told in any way, end as they did when each event was told as it happened."""

import logging
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from djstripe import models as mirrored
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing import catalog
from billing.catalog.apply import apply
from billing.gateway import locks, stripe_api
from billing.gateway.webhooks import processing
from billing.models import BillingAccount
from orgs.models import Organization
from tests.billing.stripe_events import Stripe
from tests.billing.test_promo import offer
from tests.factories.orgs import OrganizationFactory, UserFactory, personal_organization
from tests.properties.drawing import drawn, kind_drawn
from tests.properties.lives import CODE, Life, forget
from tests.properties.tellings import Telling, divergences, tell

pytestmark = pytest.mark.django_db(transaction=True)
logger = logging.getLogger(__name__)


@dataclass
class Shop:
    """An account at Stripe as it was before the first life, to begin each one with."""

    name: str
    stripe: Stripe
    photograph: int
    done: Counter[str] = field(default_factory=Counter)
    retried: Counter[tuple[str, str]] = field(default_factory=Counter)
    overtaken: Counter[str] = field(default_factory=Counter)
    lived: int = 0
    events: int = 0
    diverged: list[str] = field(default_factory=list)

    def prove(self, seed, *, steps):
        """A life from its seed, and told again from the same one; what diverged is kept."""
        at_least, at_most = steps
        life = self.begin(kind_drawn(seed))
        how = telling(seed)
        try:
            expected = life.live(drawn(life, seed, at_least=at_least, at_most=at_most))
            said = divergences(expected, tell(life, how))
        except AssertionError as failed:
            said = [str(failed)]
        self.lived += 1
        self.done += life.done
        self.retried |= how.retried
        self.overtaken += how.overtaken
        self.events += sum(len(stage.events) for stage in life.stages)
        logger.info("%s, life %s: %s", self.name, seed, said or "no divergence")
        if said:
            self.diverged.append(
                "\n".join([f"The life of seed {seed}:", *said, *map(str, life.steps)])
            )

    def begin(self, kind=Organization.Kind.TEAM):
        self.stripe.simulator.restore(self.photograph)
        forget()
        BillingAccount.objects.update(stripe_customer_id=None)
        return Life(self.stripe, organization_of(kind))

    @property
    def refused(self):
        return sum(n for name, n in self.done.items() if name.endswith("(refused)"))

    def figures(self):
        return (
            f"{self.name}: {self.lived} lives of {self.done.total():,} steps"
            f" ({self.refused:,} refused) and {self.events:,} events, told once more in any way:"
            f" {len(self.diverged)} divergences; answers overtaken: {dict(self.overtaken)};"
            f" put off for a while: {dict(self.retried)}"
        )


def organization_of(kind):
    if kind == Organization.Kind.TEAM:
        return OrganizationFactory.create()
    return personal_organization(UserFactory.create())


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
        return Shop(name, stripe, stripe.simulator.photograph())

    return open_


def prove_lives(shop, *, wanted, steps, **how):
    """Hypothesis draws the seed of each life, from which every step follows; a divergence names
    it, and `LIVES=7,12` lives those alone."""

    @settings(
        max_examples=wanted,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        **how,
    )
    @given(seed=st.integers(0, 2**32))
    def prove(seed):
        shop.prove(seed, steps=steps)

    if named := os.environ.get("LIVES"):
        for seed in named.split(","):
            shop.prove(int(seed), steps=steps)
    else:
        prove()
    assert shop.diverged == [], "\n\n".join(shop.diverged)


def test_a_life_told_in_any_way_ends_the_same(open_shop, report):
    shop = open_shop("suite")

    prove_lives(shop, wanted=2, steps=(4, 12), derandomize=True)

    report(shop.figures())


CATALOGUES = ["suite", "sessions", "tokens", "workspaces", "containers"]


@pytest.mark.verify
@pytest.mark.parametrize("name", CATALOGUES)
def test_two_hundred_whole_lives_told_in_any_way_end_the_same(open_shop, report, name):
    """Forty lives of up to forty steps for each catalogue, and most of the steps do something."""
    shop = open_shop(name)

    prove_lives(shop, wanted=40, steps=(6, 40))

    report(shop.figures())
    assert shop.refused < 0.25 * shop.done.total()


# --- Seeded bugs: the proof above must notice them ----------------------------------------------

# No mail of a loss: before one leaves Stripe is asked, and that would mend what a bug broke.
CHANGEFUL = [
    ("checkout", {"plan_key": "pro", "interval": "month", "card": "success"}),
    ("seats", 4),
    ("seats", 7),
]
# Each event once and at once, so that no later one repairs what went wrong; and wherever a step
# changed what the one before it had changed, the older answer is written last.
OVERTAKEN = Telling(seed=0, workers=2, late=0.0, twice=0.0, cloned=0.0, late_answers=0.0, held=1.0)
# An old event comes after a new one.
LATE = replace(OVERTAKEN, late=0.5, held=0.0)
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


def told(shop, steps, how):
    """What diverged; an error that only a bug can cause counts too."""
    life = shop.begin()
    try:
        return divergences(life.live(steps(life)), tell(life, how))
    except AssertionError as failed:
        return [str(failed)]


def changeful(life):
    return CHANGEFUL


@pytest.mark.verify
@pytest.mark.parametrize(
    ("bug", "how"), [(without_the_lock, OVERTAKEN), (with_trusted_payloads, LATE)]
)
def test_a_seeded_bug_makes_lives_diverge(open_shop, monkeypatch, report, bug, how):
    """The life above at once, and soon one of those that are drawn at random."""
    shop = open_shop("suite")
    assert told(shop, changeful, how) == []
    bug(monkeypatch)

    telling = first_that_diverges(shop, how, lambda seed: changeful)
    life = first_that_diverges(
        shop, how, lambda seed: partial(drawn, seed=seed, at_least=4, at_most=12)
    )

    report(f"{bug.__name__}: noticed by telling number {telling} and by life number {life}")
    assert telling is not None
    assert life is not None


def first_that_diverges(shop, how, steps_of):
    for seed in range(20):
        if told(shop, steps_of(seed), replace(how, seed=seed)):
            return seed + 1
    return None
