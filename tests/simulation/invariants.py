"""What must hold in every world (DESIGN 4), after any step and at the end."""

import itertools
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import connection
from django.db.models import Count, Sum

from billing.entitlement import facts as known_facts
from billing.entitlement import store
from billing.models import EffectivePlan, InboxEvent, Invoice, OutboxMessage, Subscription
from orgs.models import Organization
from quotas.engine import enforcement
from quotas.engine.decisions import Line
from quotas.models import Balance, Kind, OverageReport, UsageEvent
from quotas.reading import reconciliation, rollups, usage
from tests.properties import verdict_reference
from tests.simulation.books import must, numbers
from tests.simulation.surroundings import settle
from tests.simulation.world import BUSY, START, Player, World
from tests.stripe_simulator.client import SimulatorClient

Json = dict[str, Any]

_ROLLED_UP: Final = """
SELECT organization_id, meter, period_start, grain, sum(added - removed)::bigint
FROM usage_rollup WHERE dimension = '' GROUP BY 1, 2, 3, 4
"""


def look(world: World) -> None:
    """At any moment: nothing that was acknowledged is missing, and every sum is the same."""
    _balances(world)
    _ledger(world)
    _roll_ups(world)
    _own_reconciliation(world)
    _keys(world)


def at_the_end(world: World) -> None:
    settle(world)
    look(world)
    _nothing_is_left_over()
    stripe_and_we_agree(
        world.stage.simulator,
        {one.customer: Payer(one.index, one.organization) for one in world.players if one.customer},
    )
    verdicts_hold(START)
    _overage(world)
    _checks(world)
    _nobody_sees_others(world)
    must(world.stage.simulator.violations() == [], "the simulator was misused",
         world.stage.simulator.violations())  # fmt: skip
    for player in world.players:
        world.trace.append(_ending(player))


def _balances(world: World) -> None:
    by_organization: dict[Any, dict[Any, int]] = {}
    for row in Balance.objects.all():
        place = (row.meter, row.period_start)
        mine = by_organization.setdefault(row.organization_id, {})
        mine[place] = mine.get(place, 0) + row.used
    for player in world.players:
        found = by_organization.pop(player.organization.pk, {})
        known = player.books.used
        for place in found.keys() | known.keys():
            must(found.get(place, 0) == known[place], "a balance is not what was answered",
                 player.index, place, found.get(place, 0), known[place])  # fmt: skip
    must(not by_organization, "balances of nobody", by_organization)


def _ledger(world: World) -> None:
    found = {
        organization: (rows, total)
        for organization, rows, total in UsageEvent.objects.values_list("organization")
        .annotate(rows=Count("sequence"), total=Sum("delta"))
        .order_by()
    }
    for player in world.players:
        rows, total = found.get(player.organization.pk, (0, 0))
        books = player.books
        must(rows == books.rows, "the ledger and the answers differ in number",
             player.index, rows, books.rows)  # fmt: skip
        must(total == sum(books.used.values()), "the ledger's sum is not what was answered",
             player.index, total)  # fmt: skip


def _roll_ups(world: World) -> None:
    rollups.catch_up(wait=True)
    with connection.cursor() as cursor:
        cursor.execute(_ROLLED_UP)
        found = {tuple(row[:4]): row[4] for row in cursor.fetchall()}
    for player in world.players:
        for (meter, start), used in player.books.used.items():
            for grain in ("hour", "day"):
                summed = found.get((player.organization.pk, meter, start, grain), 0)
                must(summed == used, "roll-ups are not what was answered",
                     player.index, meter, start, grain, summed, used)  # fmt: skip


def _own_reconciliation(world: World) -> None:
    """What the product itself compares; a lie that was put into Redis is no fault of its own."""
    lied_to = {player.organization.pk for player in world.players if player.lied_to}
    found = [
        one
        for one in reconciliation.differences(reconciliation.all_organizations())
        if not (one.kind == reconciliation.Kind.REDIS and one.organization in lied_to)
        and one.kind != reconciliation.Kind.OVERAGE  # a report on its way; see the end
    ]
    must(not found, "the product's own reconciliation finds", found)


def _keys(world: World) -> None:
    twice = (
        UsageEvent.objects.values("organization", "satellite_id", "key", "line")
        .annotate(rows=Count("sequence"))
        .filter(rows__gt=1)
    )
    must(not twice.exists(), "a key is in the ledger twice", list(twice[:3]))
    sent = [key for key, times in world.letters.items() if times > 1]
    must(not sent, "a letter left twice", sent)


# --- Against Stripe -------------------------------------------------------------------------------


class Payer(NamedTuple):
    """Whom a customer at Stripe belongs to; `name` is for sentences."""

    name: object
    organization: Organization


def _nothing_is_left_over() -> None:
    open_rows = InboxEvent.objects.waiting() | InboxEvent.objects.dead()
    left = list(open_rows.values_list("type", "state", "note"))
    must(not left, "events were left over", left)


def stripe_and_we_agree(simulator: SimulatorClient, payers: Mapping[str, Payer]) -> None:
    """Subscriptions with their items, and invoices, of these customers."""
    items: dict[str, list[Json]] = {}
    for item in simulator.state("subscription_item"):
        items.setdefault(item["subscription"], []).append(item)
    for theirs in simulator.state("subscription"):
        if theirs["customer"] in payers:
            _subscription(payers[theirs["customer"]], theirs, items.get(theirs["id"], []))
    for theirs in simulator.state("invoice"):
        if theirs["customer"] in payers:
            _invoice(payers[theirs["customer"]], theirs)


def _subscription(payer: Payer, theirs: Json, items: list[Json]) -> None:
    ours = Subscription.objects.filter(stripe_id=theirs["id"]).first()
    must(ours is not None, "a subscription is unknown to us", payer.name, theirs["status"])
    assert ours is not None
    must(ours.organization_id == payer.organization.pk, "somebody else's subscription")
    found = (ours.status, ours.cancel_at_period_end, _seconds(ours.cancel_at))
    real = (theirs["status"], theirs["cancel_at_period_end"], theirs["cancel_at"])
    must(found == real, "a subscription is not what Stripe says", payer.name, found, real)
    if theirs["status"] in ("canceled", "incomplete_expired"):
        return
    known = {one["price"]: one["quantity"] for one in ours.items if not one["metered"]}
    sold = {_price(one): one.get("quantity") for one in items}
    for price, quantity in known.items():
        must(sold.get(price) == quantity, "items are not what Stripe says",
             payer.name, known, sold)  # fmt: skip


def _price(item: Json) -> str:
    price = item["price"]
    return str(price if isinstance(price, str) else price["id"])


def _invoice(payer: Payer, theirs: Json) -> None:
    ours = Invoice.objects.filter(stripe_id=theirs["id"]).first()
    must(ours is not None, "an invoice is unknown to us", payer.name, theirs["status"])
    assert ours is not None
    found = (ours.status, ours.amount_remaining, ours.amount_paid)
    real = (theirs["status"], theirs["amount_remaining"], theirs["amount_paid"])
    must(found == real, "an invoice is not what Stripe says", payer.name, found, real)


def _seconds(at: Any) -> int | None:
    return None if at is None else int(at.timestamp())


def verdicts_hold(at: datetime) -> None:
    """The effective plan is what the rules say of the facts, by rules written down twice.

    `at` is what time it is for those without a clock of their own.
    """
    policy = known_facts.policy()
    for known in EffectivePlan.objects.select_related("organization"):
        row = store.current(known.organization)
        account = row.organization.billing_account
        now = account.frozen_at or at
        wanted = verdict_reference.answer(known_facts.gather(account), policy, now)
        must(
            (row.plan.key, row.source, row.access) == (wanted.plan, wanted.source, wanted.access),
            "the effective plan is not what the facts say",
            row.organization.slug, row.plan.key, row.source, row.access, wanted,
        )  # fmt: skip


def _overage(world: World) -> None:
    """Stripe counted what we reported; what we reported is what the balances say."""
    counted: dict[str, int] = {}
    for event in world.stage.simulator.state("_meter_event"):
        if not event.get("canceled"):
            customer = event["customer"]
            counted[customer] = counted.get(customer, 0) + int(event["value"])
    sent: dict[str, int] = {}
    for report in OverageReport.objects.filter(state=OverageReport.State.SENT):
        sent[report.customer_id] = sent.get(report.customer_id, 0) + report.units
    must(sent == counted, "Stripe counts other units than we reported", sent, counted)
    found = [
        one
        for one in reconciliation.differences(reconciliation.all_organizations())
        if one.kind == reconciliation.Kind.OVERAGE
    ]
    must(not found, "reports and balances differ", found)


def _checks(world: World) -> None:
    """What Redis answers is of the plan of now, and of all that was used."""
    meters = world.meters(Kind.LEVEL, Kind.FLOW)
    busy = [player for player in world.players[:BUSY] if not player.lied_to]
    for player, meter in itertools.product(busy, meters):
        line = Line(meter, 1)
        answers = enforcement.checked, enforcement.authorized
        said, real = (numbers([ask(player.organization.pk, line)]) for ask in answers)
        must(said == real, "a check and PostgreSQL differ", player.index, said, real)


def _nobody_sees_others(world: World) -> None:
    for player in world.players[:4]:
        if not player.books.rows:
            continue
        for reading in usage.of(player.organization).readings:
            if reading.kind in ("level", "flow") and not reading.per_member:
                mine = player.books.used[reading.key, reading.period.start]
                must(reading.used == mine, "a page shows other usage than the organization's",
                     player.index, reading.key, reading.used, mine)  # fmt: skip
    doubled = OutboxMessage.objects.values("once_per").annotate(n=Count("pk")).filter(n__gt=1)
    must(not doubled.exists(), "an outbox key is there twice", list(doubled))


def _ending(player: Player) -> str:
    row = EffectivePlan.objects.select_related("plan").filter(organization=player.organization)
    verdict = [(one.plan.key, one.source, one.status, one.access, one.seats) for one in row]
    sums = sorted((meter, start.isoformat(), n) for (meter, start), n in player.books.used.items())
    return f"{player.index}: {verdict} {player.books.rows} {sums}"
