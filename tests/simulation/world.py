"""One world: fifty organizations on one catalogue, and the steps that happen to them.

A step is drawn before the world begins and names its organization and its own luck, so that it
does the same whatever steps around it are left out.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final
from uuid import UUID

import stripe as sdk
from django.conf import settings
from django.db import transaction
from django.test import Client

from billing import catalog
from billing.catalog.schema import Catalog
from billing.models import BillingAccount
from orgs.exceptions import DomainError
from orgs.models import Membership, Organization, Role, User
from quotas import satellites
from quotas.models import Satellite
from tests.simulation.books import Books, Broken
from tests.simulation.stage import Stage
from tests.stripe_simulator.client import Refused

Json = dict[str, Any]

ORGANIZATIONS: Final = 50
PAYERS: Final = 3  # who may turn to Stripe; all of them use something
BUSY: Final = 8  # whose satellites do most of it
STEPS: Final = 80
START: Final = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
REFUSALS: Final = (DomainError, sdk.StripeError, Refused)


@dataclass(frozen=True)
class Step:
    name: str
    organization: int
    luck: int

    def __str__(self) -> str:
        return f"{self.name} of {self.organization} ({self.luck})"


@dataclass(frozen=True)
class Script:
    """Everything that a seed decides."""

    seed: int
    catalogue: str
    steps: tuple[Step, ...]

    def only(self, steps: tuple[Step, ...]) -> "Script":
        return Script(self.seed, self.catalogue, steps)


@dataclass
class Player:
    """An organization with its owner and what its satellites know."""

    index: int
    organization: Organization
    owner: User
    books: Books
    now: datetime
    keys: Any = field(default_factory=count)
    observed: dict[str, datetime] = field(default_factory=dict)  # newest, by meter
    lied_to: bool = False
    missed: bool = False  # an event of its customer was dropped

    @property
    def customer(self) -> str | None:
        return self.account.stripe_customer_id

    @property
    def account(self) -> BillingAccount:
        found: BillingAccount = BillingAccount.objects.get(organization=self.organization)
        return found

    def key(self) -> str:
        return f"{self.index}-{next(self.keys)}"


@dataclass
class World:
    """What a step may look at and change."""

    stage: Stage
    script: Script
    players: list[Player] = field(default_factory=list)
    bag: list[Json] = field(default_factory=list)  # events that Stripe has not delivered yet
    heard: int = 0  # of Stripe's events
    letters: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    client: Client = field(default_factory=Client)
    secrets: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.script.seed)  # noqa: S311 (the same again is wanted)
        self.heard = len(self.stage.simulator.events())
        _populate(self)
        self.bearers = _bearers()

    @property
    def catalog(self) -> Catalog:
        return catalog.current()

    def play(self, acts: "dict[str, Act]", after: Callable[["World"], None]) -> str:
        """Every step, then `after`; returns the digest. Raises Broken with what went before."""
        for step in self.script.steps:
            self.trace.append(f"{step}: {self._step(acts[step.name], step)}")
        after(self)
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]

    def _step(self, act: "Act", step: Step) -> str:
        player = self.players[step.organization]
        player.organization = Organization.objects.get(pk=player.organization.pk)
        luck = random.Random(step.luck)  # noqa: S311 (the same again is wanted)
        try:
            said = act(self, player, luck)
        except REFUSALS as refused:
            said = f"refused: {getattr(refused, 'code', type(refused).__name__)}"
        except Broken as broken:
            raise Broken(f"{step}: {broken}") from broken
        self.done[step.name if not said.startswith("refused") else f"{step.name} (refused)"] += 1
        return said

    def listen(self) -> None:
        """What Stripe has to tell waits in the bag."""
        news = self.stage.simulator.events_after(self.heard)
        self.heard += len(news)
        for event in news:
            event.pop("deliveries", None)
        self.bag += news

    def meters(self, *kinds: str) -> list[str]:
        return [key for key, meter in self.catalog.meters.items() if meter.kind in kinds]

    def scoped(self, player: Player) -> str:
        """The secret of a token that is for this organization alone."""
        if player.index not in self.secrets:
            satellite = Satellite.objects.get(pk=self.bearers[0][0])
            _token, secret = satellites.issue_token(satellite, None, [player.organization.pk])
            self.secrets[player.index] = secret
        return self.secrets[player.index]

    def player_of(self, customer: str | None) -> Player | None:
        if not customer:
            return None
        account = BillingAccount.objects.for_stripe_customer(customer).first()
        if account is None:
            return None
        return next(one for one in self.players if one.organization.pk == account.organization_id)


Act = Callable[[World, Player, random.Random], str]


def script(seed: int, weights: dict[str, tuple[float, str]], catalogues: tuple[str, ...]) -> Script:
    """`weights`: how often a step comes, and to whom: anybody, those that pay, or the whole."""
    chance = random.Random(seed)  # noqa: S311 (the same again is wanted)
    share = [4 if name == "suite" else 1 for name in catalogues]
    (chosen,) = chance.choices(catalogues, share)
    names = list(weights)
    drawn = chance.choices(names, [weights[name][0] for name in names], k=STEPS)
    steps = [Step(name, _whom(weights[name][1], chance), chance.getrandbits(32)) for name in drawn]
    begin = [Step(name, 0, chance.getrandbits(32)) for name in ("checkout", "deliver", "work")]
    return Script(seed, chosen, (*begin, *steps))


def _whom(kind: str, chance: random.Random) -> int:
    if kind == "payer":
        return chance.randrange(PAYERS)
    if kind == "world":
        return 0
    return chance.randrange(BUSY) if chance.random() < 0.9 else chance.randrange(ORGANIZATIONS)


def _populate(world: World) -> None:
    """Names, ids and the beginning of time are the same in every world of this seed."""
    chance = world.chance
    kinds = [
        Organization.Kind.PERSONAL if chance.random() < 0.3 else Organization.Kind.TEAM
        for _ in range(ORGANIZATIONS)
    ]
    ids = [UUID(int=chance.getrandbits(128), version=4) for _ in range(2 * ORGANIZATIONS)]
    users = [
        User(id=ids[n], email=f"owner-{n}@example.com", name=f"Owner {n}", password="!")
        for n in range(ORGANIZATIONS)
    ]
    organizations = [
        Organization(
            id=ids[ORGANIZATIONS + n], slug=f"world-{n}", name=f"World {n}", kind=kinds[n],
            created_at=START - timedelta(days=chance.randrange(60), hours=chance.randrange(24)),
        )
        for n in range(ORGANIZATIONS)
    ]  # fmt: skip
    pairs = list(zip(users, organizations, strict=True))
    with transaction.atomic():
        User.objects.bulk_create(users)
        Organization.objects.bulk_create(organizations)
        Membership.objects.bulk_create(
            Membership(organization=organization, user=user, role=Role.OWNER, joined_at=START)
            for user, organization in pairs
        )
        BillingAccount.objects.bulk_create(
            BillingAccount(organization=organization, frozen_at=START)
            for organization in organizations
        )
    world.players = [
        Player(n, organization, user, Books(organization.pk), START)
        for n, (user, organization) in enumerate(pairs)
    ]


def _bearers() -> list[tuple[int, str]]:
    """Two satellites, each with a token."""
    found = []
    for key in ("drive", "assistant"):
        satellite = Satellite.objects.create(key=key, name=key.title())
        _token, secret = satellites.issue_token(satellite)
        found.append((satellite.pk, secret))
    assert settings.STRIPE_TEST_CLOCKS
    return found
