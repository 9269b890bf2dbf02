"""kill -9 of web, worker, beat, Redis and PostgreSQL in turn, while everybody does everything:
satellites use, owners look and change plans, Stripe tells and its clock moves, mails and notices
leave. After each kill the books are compared; after each round all hold still for a moment, and
then Stripe, charts, mails and notices must agree as well.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import psycopg
from celery import current_app
from django.conf import settings
from django.db import connections
from django.test import Client
from redis.exceptions import RedisError

from billing import catalog
from billing.catalog.apply import apply
from billing.entitlement.clock import database_now
from billing.gateway import stripe_api
from billing.models import InboxEvent, OutboxMessage, PlanPrice
from billing.subscription import customers
from config.embedded import EmbeddedServices
from orgs.models import Organization
from quotas.models import NoticeDelivery, Satellite
from quotas.notices import endpoints
from quotas.reading import rollups
from tests.chaos import mailbox, names, programs
from tests.chaos.books import Books
from tests.chaos.kills import Installation, open_postgresql, open_redis, token
from tests.chaos.owners import Clock, Owner, Owners
from tests.chaos.satellites import Satellites
from tests.chaos.watching import Watcher, applied, sold
from tests.factories.orgs import OrganizationFactory, api_token_for, owner_of
from tests.quotas.receiver import Receiver, listening
from tests.simulation import invariants
from tests.simulation.books import Broken
from tests.stripe_simulator.client import SimulatorClient

SCARCE: Final = 4  # organizations on the free plan, whose limits are reached
PAYERS: Final = 12
SATELLITES: Final = 8  # threads
PEOPLE: Final = 3  # threads
LOAD_SECONDS: Final = 1.0  # between a recovery and the next kill
RECOVERY_SECONDS: Final = 240
REST_SECONDS: Final = 240  # until all that waits has left; a lease of a killed worker lasts 60
ANSWERS: Final = 40  # decisions that make a recovery
# Advisory locks that tell that some beat leads: `config.beat`.
_BEAT_LEADS: Final = (
    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 5230119 AND granted"
)

Say = Callable[[str], None]


class Everything(Installation):
    """With beat as a process of its own, and a worker for all queues."""

    def __init__(self, services: EmbeddedServices) -> None:
        super().__init__(services)
        self.worker = programs.worker(2)
        self.beat = programs.beat()

    def start(self) -> None:
        self.beat.start()
        super().start()

    def stop(self) -> None:
        super().stop()
        self.beat.kill()

    @property
    def kills(self) -> dict[str, Callable[[], None]]:
        return {
            "web": self.kill_web,
            "worker": self.worker.kill_and_restart,
            "beat": self.beat.kill_and_restart,
            "Redis": self.kill_redis,
            "PostgreSQL": self.kill_postgresql,
        }

    def works(self) -> bool:
        """Every part but the web answers; of that the satellites tell."""
        for program in (self.worker, self.beat):
            program.revive()
        try:
            with open_redis() as redis, open_postgresql() as connection:
                leads = connection.execute(_BEAT_LEADS).fetchone()
                return bool(leads and redis.ping() and current_app.control.ping(timeout=0.3))
        except (RedisError, psycopg.Error, OSError):
            return False


def run(
    services: EmbeddedServices, simulator: SimulatorClient, kills: int, say: Say
) -> dict[str, Any]:
    """Everything that was found; `differences` must be empty, and are said as they are found."""
    names.start_anew()
    mailbox.path().unlink(missing_ok=True)
    installed = Everything(services)
    simulator.set_webhook(
        f"{installed.web.url}/webhooks/stripe", settings.STRIPE_WEBHOOK_SECRETS[0]
    )
    apply(catalog.current(), stripe_api, {})
    with listening() as receiver, ExitStack() as stack:
        stack.callback(installed.stop)
        mixed = _Mixed(installed, simulator, receiver, say)
        installed.start()
        mixed.everybody_buys()
        with mixed.load():
            mixed.kill(kills)
        return mixed.found()


class _Mixed:
    def __init__(
        self, installed: Everything, simulator: SimulatorClient, receiver: Receiver, say: Say
    ) -> None:
        self.installed, self.simulator = installed, simulator
        self.receiver, self.say = receiver, say
        scarce = [_organization() for _ in range(SCARCE)]
        payers = [_organization() for _ in range(PAYERS)]
        self.payers = {_customer(payer): payer for payer in payers}
        secret, port = token(), installed.web.port
        endpoints.add(Satellite.objects.get(key="chaos"), receiver.url)
        self.satellites = Satellites(
            port, secret, [one.pk for one in scarce], [one.pk for one in payers], SATELLITES
        )
        self.books = Books(self.satellites)
        self.people = [_owner(payer, customer) for customer, payer in self.payers.items()]
        self.owners = Owners(port, simulator, self.people, PEOPLE)
        self.clock = Clock(simulator, self.people)
        prices = PlanPrice.objects.exclude(stripe_price_id=None).select_related("plan")
        self.prices = {str(price.stripe_price_id): price.plan.key for price in prices}
        self.customers = {customer: payer.pk for customer, payer in self.payers.items()}
        self.watcher = Watcher(simulator, self.customers, self.prices)
        self.crowds = (self.satellites.crowd, self.owners.crowd, self.clock.crowd)
        self.kills: Counter[str] = Counter()
        self.longest: dict[str, float] = defaultdict(float)
        self.rests = 0
        self.longest_rest = 0.0
        self.differences: list[str] = []

    def everybody_buys(self) -> None:
        for person in self.people:
            self.owners.buy(person)
        self.at_rest("at the beginning")

    @contextmanager
    def load(self) -> Iterator[None]:
        callers = (self.watcher, *self.crowds)
        try:
            for one in callers:
                one.start()
            yield
        finally:
            for one in callers:
                one.stop()

    def kill(self, kills: int) -> None:
        victims = self.installed.kills
        for number in range(1, kills + 1):
            time.sleep(LOAD_SECONDS)
            victim = list(victims)[number % len(victims) - 1]
            self.kills[victim] += 1
            before = len(self.satellites.told)
            began = time.monotonic()
            victims[victim]()
            self._until_all_works(before)
            took = time.monotonic() - began
            self.longest[victim] = max(self.longest[victim], took)
            self.simulator.deliver()  # Stripe's own next try may be half a minute away
            with open_postgresql() as connection:
                self._differ(f"after kill {number}", self.books.look(connection))
            self.say(f"{number}. {victim}: {took:.1f} s, {self.books.entered:,} told")
            if number % (2 * len(victims)) == 0 or number == kills:
                self.all_hold_still(f"after kill {number}")

    def _until_all_works(self, answers: int) -> None:
        deadline = time.monotonic() + RECOVERY_SECONDS
        while len(self.satellites.told) < answers + ANSWERS or not self.installed.works():
            if time.monotonic() > deadline:
                raise TimeoutError("something does not come back")
            time.sleep(0.05)

    def all_hold_still(self, when: str) -> None:
        with ExitStack() as still:
            for crowd in self.crowds:
                still.enter_context(crowd.held_still())
            self.at_rest(when)

    def at_rest(self, when: str) -> None:
        """Nobody helps: workers and beat alone empty inbox and outbox, and bring up the charts."""
        connections.close_all()
        began = time.monotonic()
        since = database_now()
        while not self.installed.works() or self._waiting(since):
            if time.monotonic() > began + REST_SECONDS:
                self._differ(when, [f"still waiting: {self._waiting(since)}"])
                break
            time.sleep(0.3)
        took = time.monotonic() - began
        self.rests, self.longest_rest = self.rests + 1, max(self.longest_rest, took)
        with open_postgresql() as connection:
            self._differ(when, self.books.look_at_rest(connection))
            self._differ(when, self._plans(connection))
        self._differ(when, [*self._stripe(), *self._mails(), *self._notices()])
        connections.close_all()
        self.say(f"{when} all agree after {took:.1f} s at rest; {len(self.differences)} differ")

    def _waiting(self, since: Any) -> dict[str, int]:
        charts = rollups.updated_at()
        found = {
            "at Stripe": len(self.simulator.deliver()),
            "inbox": InboxEvent.objects.waiting().count(),
            "outbox": OutboxMessage.objects.filter(state="waiting").count(),
            "notices": NoticeDelivery.objects.filter(state="waiting").count(),
            "charts": int(charts is None or charts < since),
        }
        return {name: number for name, number in found.items() if number}

    def _differ(self, when: str, differences: list[str]) -> None:
        for one in differences:
            self.say(f"DIFFERS {when}: {one}")
        self.differences += differences

    # --- What must agree at rest ------------------------------------------------------------------

    def _plans(self, connection: psycopg.Connection) -> list[str]:
        theirs = sold(self.simulator, self.customers, self.prices)
        ours = applied(connection, list(theirs))
        return [
            f"{organization} is on {ours.get(organization)}, Stripe sells {plan}"
            for organization, plan in theirs.items()
            if ours.get(organization) != plan
        ]

    def _stripe(self) -> list[str]:
        found = []
        players = {
            customer: invariants.Payer(payer.slug, payer) for customer, payer in self.payers.items()
        }
        for look in (
            lambda: invariants.stripe_and_we_agree(self.simulator, players),
            lambda: invariants.verdicts_hold(database_now()),
        ):
            try:
                look()
            except Broken as broken:
                found.append(str(broken))
        return found + [f"the simulator was misused: {one}" for one in self.simulator.violations()]

    def _mails(self) -> list[str]:
        """A mail leaves before its row is marked: only a kill in between may repeat it."""
        left, sent = len(mailbox.mails()), OutboxMessage.objects.filter(state="sent").count()
        dead = OutboxMessage.objects.filter(state="dead").count()
        self.mails, self.mails_repeated = sent, left - sent
        found = [f"{dead} dead letters"] if dead else []
        if not 0 <= left - sent <= self.kills.total():
            found.append(f"{sent} mails were sent, {left} left")
        return found

    def _notices(self) -> list[str]:
        heard = Counter(
            value
            for one in list(self.receiver.heard)
            for name, value in one.headers.items()
            if name.lower() == "webhook-id"
        )
        sent = {one.webhook_id for one in NoticeDelivery.objects.filter(state="sent")}
        self.notices, self.notices_repeated = len(sent), heard.total() - len(heard)
        given_up = NoticeDelivery.objects.filter(state="failed").count()
        found = [f"{given_up} notices were given up"] if given_up else []
        if missing := sent - heard.keys():
            found.append(f"{len(missing)} notices never arrived")
        if self.notices_repeated > self.kills.total():
            found.append(f"{self.notices_repeated} notices were repeated")
        return found

    def found(self) -> dict[str, Any]:
        surprises = [one for crowd in self.crowds for one in crowd.surprises]
        said_wrong = [*self.satellites.differences, *self.owners.differences]
        self._differ("in the end", [*surprises, *said_wrong, *self.watcher.surprises])
        return {
            "kills": dict(self.kills),
            "gave_up": {
                "worker": self.installed.worker.gave_up,
                "beat": self.installed.beat.gave_up,
            },
            "longest_recovery_seconds": {name: round(s, 1) for name, s in self.longest.items()},
            "events_told": self.books.entered,
            "satellites": dict(self.satellites.said),
            "never_answered": len(self.satellites.maybe),
            "sent_again": dict(self.satellites.repeats),
            "owners": dict(self.owners.said),
            "clock_moves": self.clock.moves,
            "webhooks": InboxEvent.objects.count(),
            "mails": self.mails,
            "mails_repeated": self.mails_repeated,
            "notices": self.notices,
            "notices_repeated": self.notices_repeated,
            "rests": self.rests,
            "longest_until_at_rest_seconds": round(self.longest_rest, 1),
            "looks": self.watcher.looks,
            "oldest_seconds": {name: round(s, 1) for name, s in self.watcher.oldest.items()},
            "differences": len(self.differences),
        }


def _organization() -> Organization:
    organization: Organization = OrganizationFactory.create()
    return organization


def _customer(organization: Organization) -> str:
    return customers.ensure(organization).stripe_customer_id or ""


def _owner(organization: Organization, customer: str) -> Owner:
    person, browser = owner_of(organization), Client()
    browser.force_login(person)
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())
    return Owner(organization.slug, customer, cookie, api_token_for(person))
