"""How old the picture is: of the plans that Stripe sells, of the charts, of what waits."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import psycopg

from tests.chaos.kills import open_postgresql
from tests.stripe_simulator.client import SimulatorClient

Plan = tuple[str, int, int | None]  # its key, seats, and when the paid period ends
LOOK_SECONDS: Final = 1.0
DEFAULT: Final[Plan] = ("hobby", 1, None)
SELLING: Final = frozenset({"active", "trialing", "past_due"})

_OURS: Final = """
SELECT e.organization_id, p.key, e.seats, extract(epoch FROM e.period_end)::bigint
FROM billing_effectiveplan e JOIN subscription_plans p ON p.id = e.plan_id
WHERE e.organization_id = ANY (%s::uuid[])
"""
_CHARTS: Final = """
SELECT extract(epoch FROM clock_timestamp() - recorded_until)::float FROM usage_rollup_mark
"""
_INBOX: Final = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - received_at)), 0)::float
FROM billing_inboxevent WHERE state = 'waiting'
"""


def sold(
    simulator: SimulatorClient, customers: Mapping[str, UUID], prices: Mapping[str, str]
) -> dict[UUID, Plan]:
    """What Stripe sells to each of these customers at this moment; the oldest where several."""
    items = {item["subscription"]: item for item in simulator.state("subscription_item")
             if _price(item) in prices}  # fmt: skip
    found: dict[UUID, Plan] = dict.fromkeys(customers.values(), DEFAULT)
    newest_first = sorted(simulator.state("subscription"), key=lambda one: -int(one["created"]))
    for one in newest_first:
        item = items.get(one["id"])
        if one["customer"] in customers and one["status"] in SELLING and item is not None:
            plan = prices[_price(item)]
            ends = item.get("current_period_end") or one.get("current_period_end")
            found[customers[one["customer"]]] = (plan, item["quantity"], ends)
    return found


def _price(item: dict[str, Any]) -> str:
    price = item["price"]
    return str(price if isinstance(price, str) else price["id"])


def applied(connection: psycopg.Connection, organizations: list[UUID]) -> dict[UUID, Plan]:
    """What we say they have."""
    return {
        organization: DEFAULT if plan == DEFAULT[0] else (plan, seats, ends)
        for organization, plan, seats, ends in connection.execute(_OURS, [organizations])
    }


@dataclass
class History:
    """When Stripe last said so of one organization."""

    said: dict[Plan, float] = field(default_factory=dict)

    def age(self, ours: Plan, now: float) -> float:
        """Since Stripe's word ceased to be ours; a word that nobody saw is as old as its sight."""
        return now - self.said.setdefault(ours, now)


class Watcher:
    """Looks once a second, through all kills; what cannot be looked at now is older next time."""

    def __init__(
        self, simulator: SimulatorClient, customers: Mapping[str, UUID], prices: Mapping[str, str]
    ) -> None:
        self.simulator, self.customers, self.prices = simulator, customers, prices
        self.oldest = {"plan": 0.0, "charts": 0.0, "inbox": 0.0}
        self.behind: str = ""
        self.looks = 0
        self.surprises: list[str] = []
        self._histories = {organization: History() for organization in customers.values()}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            try:
                self._look()
            except Exception as surprise:  # noqa: BLE001  a blind watcher ends the run
                self.surprises.append(f"{type(surprise).__name__}: {surprise}")

    def _look(self) -> None:
        began = time.monotonic()
        truth = sold(self.simulator, self.customers, self.prices)
        for organization, plan in truth.items():
            self._histories[organization].said[plan] = began
        with suppress(psycopg.Error), open_postgresql() as connection:
            self._compare(connection, began)
            self.looks += 1

    def _compare(self, connection: psycopg.Connection, began: float) -> None:
        for organization, plan in applied(connection, list(self._histories)).items():
            age = self._histories[organization].age(plan, began)
            if age > self.oldest["plan"]:
                self.behind = f"{organization}: {plan}"
            self._saw("plan", age)
        for name, statement in (("charts", _CHARTS), ("inbox", _INBOX)):
            for (seconds,) in connection.execute(statement):
                self._saw(name, seconds)

    def _saw(self, name: str, seconds: float) -> None:
        self.oldest[name] = max(self.oldest[name], float(seconds))
