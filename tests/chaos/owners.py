"""Owners who look at their pages and change their plans, and the time that passes at Stripe."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.crowd import Crowd
from tests.chaos.line import Line
from tests.stripe_simulator.client import Refused, SimulatorClient

PAUSE_SECONDS: Final = 0.5
CLOCK_PAUSE_SECONDS: Final = 5.0
HOUR: Final = 3600
DAY: Final = 24 * HOUR
LEAPS: Final = (HOUR, DAY, 3 * DAY, 10 * DAY, 32 * DAY)
_SESSION: Final = re.compile(r"cs_test_\w+")


@dataclass(frozen=True)
class Owner:
    """Who they are, by a browser's cookie and by a token of their own."""

    slug: str
    customer: str
    cookie: str
    token: str


class Owners:
    """A few people, each with some of the organizations."""

    def __init__(
        self, port: int, simulator: SimulatorClient, owners: Sequence[Owner], number: int
    ) -> None:
        self.port, self.simulator = port, simulator
        self.said: Counter[str] = Counter()
        self.differences: list[str] = []
        shares = [owners[n::number] for n in range(number)]
        self.crowd = Crowd(
            "owner", [_Person(self, share).act for share in shares], pause=PAUSE_SECONDS
        )

    def buy(self, owner: Owner) -> None:
        _Person(self, [owner]).buy(owner, random.Random(0))  # noqa: S311 (load, no secret)


class _Person:
    def __init__(self, everybody: Owners, owners: Sequence[Owner]) -> None:
        self.all, self.owners = everybody, owners
        self.browsers = {one.slug: Line(everybody.port, {"Cookie": one.cookie}) for one in owners}
        self.scripts = {
            one.slug: Line(everybody.port, {"Authorization": f"Bearer {one.token}"})
            for one in owners
        }

    def act(self, chance: random.Random) -> None:
        owner = chance.choice(self.owners)
        acts = (self.look, self.look, self.look, self.seats, self.interval, self.end_or_keep)
        chance.choice(acts)(owner, chance)

    def look(self, owner: Owner, chance: random.Random) -> None:
        page = chance.choice(("billing/", "usage/", "usage/meters/", "billing/why/"))
        status, said = self.browsers[owner.slug].ask("GET", f"/o/{owner.slug}/settings/{page}")
        self._heard(f"page {page}", status, said, well=(200,))
        path = chance.choice(("billing/status", "billing/invoices", f"organizations/{owner.slug}"))
        if path.startswith("billing"):
            self._ask(owner, "GET", f"{path}?organization={owner.slug}")

    def seats(self, owner: Owner, chance: random.Random) -> None:
        if self._has_left(owner):
            self.buy(owner, chance)
        else:
            self._ask(owner, "POST", "billing/change", seats=chance.randint(1, 9))

    def interval(self, owner: Owner, chance: random.Random) -> None:
        self._ask(owner, "POST", "billing/change", interval=chance.choice(("month", "year")))

    def end_or_keep(self, owner: Owner, chance: random.Random) -> None:
        if chance.random() < 0.4:
            self._ask(owner, "POST", "billing/cancel")
        else:
            self._ask(owner, "POST", "billing/keep")

    def buy(self, owner: Owner, chance: random.Random) -> None:
        said = self._ask(owner, "POST", "billing/checkout", tier="pro", seats=chance.randint(1, 5))
        session = _SESSION.search(str(said))
        if session is None:
            return
        try:
            self.all.simulator.complete_checkout(session.group())
        except Refused:
            self.all.said["paid twice"] += 1  # by the answer that was lost with a kill

    def _has_left(self, owner: Owner) -> bool:
        said = self._ask(owner, "GET", f"billing/status?organization={owner.slug}")
        return isinstance(said, dict) and said.get("has_subscription") is False

    def _ask(self, owner: Owner, method: str, path: str, **body: Any) -> Any:
        sent = None if method == "GET" else {"organization": owner.slug, **body}
        status, said = self.scripts[owner.slug].ask(method, f"/api/v1/{path}", sent)
        self._heard(path.partition("?")[0], status, said)
        return said

    def _heard(
        self, what: str, status: int, said: Any, well: Sequence[int] = tuple(range(200, 500))
    ) -> None:
        """A change may meet a former one that a kill has cut in two: Stripe refuses it, honestly,
        and we know then what Stripe knows."""
        refused = isinstance(said, dict) and said.get("code") == "stripe_refused"
        self.all.said[f"{what} {status}"] += 1
        if status not in well and not refused:
            self.all.differences.append(f"{what} answered {status}: {str(said)[:300]}")


class Clock:
    """Now and then some customer's time moves on, and with it trials, renewals and invoices."""

    def __init__(self, simulator: SimulatorClient, owners: Sequence[Owner]) -> None:
        self.simulator = simulator
        self.customers = [owner.customer for owner in owners]
        self.moves = 0
        self.crowd = Crowd("clock", [self._move], pause=CLOCK_PAUSE_SECONDS)

    def _move(self, chance: random.Random) -> None:
        self.simulator.advance(
            customer=chance.choice(self.customers), by_seconds=chance.choice(LEAPS)
        )
        self.moves += 1
