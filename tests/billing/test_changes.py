"""Another plan, interval or number of seats: what is shown is what is charged and what is given."""

import pytest

from billing.catalog import loading
from billing.entitlement import store
from billing.exceptions import NothingToChange, QuoteExpired, SeatsInUse, StripeRefused
from billing.gateway import stripe_api
from billing.gateway.stripe_api import CardDeclined
from billing.subscription import changes, preview
from billing.subscription.wishes import Wish
from orgs.exceptions import Unprocessable
from orgs.models import AuditEntry
from tests.billing.racing import at_once
from tests.billing.subscribed import on_pro, pass_days
from tests.factories.orgs import OrganizationFactory, member_of, owner_of

pytestmark = pytest.mark.django_db
DAY = 86_400


@pytest.fixture
def organization(stripe):
    """On Pro with three seats, ten days into the month."""
    found = OrganizationFactory.create()
    stripe.buy(found, seats=3)
    stripe.deliver_all(found)
    stripe.simulator.advance(customer=stripe.customer_of(found), by_seconds=10 * DAY)
    stripe.deliver_all(found)
    return found


def lines_of(shown):
    assert shown.today is not None
    return shown.today.lines


def newest_invoice(organization):
    return organization.invoices.newest_first().first()


def test_a_change_that_was_cut_in_two_hinders_the_next_one_once(organization):
    """A kill between Stripe's answer and our commit leaves a schedule that we do not know yet."""
    subscription = organization.subscriptions.get()
    stripe_api.create_schedule(subscription.stripe_id, key="cut in two")

    with pytest.raises(StripeRefused):
        changes.change(organization, owner_of(organization), Wish(seats=2))
    done = changes.change(organization, owner_of(organization), Wish(seats=2))

    assert (done.seats, done.at_once) == (2, False)


def test_more_seats_cost_what_the_preview_showed_and_are_there_at_once(organization):
    shown = preview.of_change(organization, Wish(seats=5))

    changes.confirm(organization, owner_of(organization), shown.quote)

    charged = newest_invoice(organization)
    assert shown.at_once
    assert shown.due_today == charged.amount_paid > 0
    assert [line.amount for line in lines_of(shown)] == [line["amount"] for line in charged.lines]
    assert store.current(organization).seats == 5


def test_a_quote_confirmed_twice_is_charged_once(organization):
    shown = preview.of_change(organization, Wish(seats=5))
    changes.confirm(organization, owner_of(organization), shown.quote)
    invoices = organization.invoices.count()

    again = changes.confirm(organization, owner_of(organization), shown.quote)

    assert again.seats == 5
    assert organization.invoices.count() == invoices


def test_a_quote_for_what_no_longer_stands_is_refused(organization):
    old = preview.of_change(organization, Wish(seats=7))
    changes.change(organization, owner_of(organization), Wish(seats=4))

    with pytest.raises(QuoteExpired):
        changes.confirm(organization, owner_of(organization), old.quote)

    assert store.current(organization).seats == 4


@pytest.mark.parametrize("token", ["", "forged", "eyJhIjoxfQ:1x:abc"])
def test_a_forged_quote_is_refused(organization, token):
    with pytest.raises(QuoteExpired):
        changes.confirm(organization, owner_of(organization), token)


def test_a_quote_is_good_for_its_own_organization_alone(organization, stripe):
    other = OrganizationFactory.create()
    stripe.buy(other, seats=3)
    stripe.deliver_all(other)
    token = preview.of_change(other, Wish(seats=5)).quote

    with pytest.raises(QuoteExpired):
        changes.confirm(organization, owner_of(organization), token)


@pytest.mark.parametrize("card", ["decline", "insufficient_funds"])
def test_a_declined_card_changes_nothing(organization, stripe, card):
    customer = stripe.customer_of(organization)
    stripe.simulator.set_card(customer, card)
    invoices = organization.invoices.count()

    with pytest.raises(CardDeclined):
        changes.change(organization, owner_of(organization), Wish(seats=9))

    stripe.deliver_all(organization)
    assert store.current(organization).seats == 3
    assert organization.invoices.count() == invoices


def test_after_a_decline_a_new_preview_can_be_confirmed(organization, stripe):
    stripe.simulator.set_card(stripe.customer_of(organization), "decline")
    with pytest.raises(CardDeclined):
        changes.change(organization, owner_of(organization), Wish(seats=9))
    stripe.simulator.set_card(stripe.customer_of(organization), None)

    shown = preview.of_change(organization, Wish(seats=9))
    changes.confirm(organization, owner_of(organization), shown.quote)

    assert store.current(organization).seats == 9


def test_going_yearly_begins_a_year_today_with_credit_for_the_month(organization):
    shown = preview.of_change(organization, Wish(interval="year"))

    changes.confirm(organization, owner_of(organization), shown.quote)

    charged = newest_invoice(organization)
    effective = store.current(organization)
    assert shown.due_today == charged.amount_paid
    assert min(line.amount for line in lines_of(shown)) < 0
    assert max(line.amount for line in lines_of(shown)) == 3 * 6000
    assert effective.interval == "year"
    assert shown.next_invoice.at == effective.period_end


def test_going_monthly_waits_for_the_end_of_the_year(organization):
    changes.change(organization, owner_of(organization), Wish(interval="year"))
    shown = preview.of_change(organization, Wish(interval="month"))

    done = changes.confirm(organization, owner_of(organization), shown.quote)

    effective = store.current(organization)
    assert not shown.at_once
    assert shown.today is None
    assert done.effective_at == shown.effective_at == effective.period_end
    assert effective.interval == "year"


def test_what_is_scheduled_happens_at_the_renewal_for_the_price_shown(organization, stripe):
    shown = preview.of_change(organization, Wish(seats=2))
    changes.confirm(organization, owner_of(organization), shown.quote)
    seats_before = store.current(organization).seats

    stripe.simulator.advance(customer=stripe.customer_of(organization), by_seconds=23 * DAY)
    stripe.deliver_all(organization)

    assert seats_before == 3
    assert store.current(organization).seats == 2
    assert newest_invoice(organization).total == shown.next_invoice.receipt.total == 1200
    assert "at" not in organization.subscriptions.get().scheduled


def test_what_is_scheduled_can_be_undone(organization, stripe):
    changes.change(organization, owner_of(organization), Wish(seats=2))

    changes.keep(organization, owner_of(organization))

    stripe.simulator.advance(customer=stripe.customer_of(organization), by_seconds=23 * DAY)
    stripe.deliver_all(organization)
    assert store.current(organization).seats == 3


def test_the_last_scheduled_change_wins(organization, stripe):
    changes.change(organization, owner_of(organization), Wish(seats=2))
    changes.change(organization, owner_of(organization), Wish(seats=1))

    stripe.simulator.advance(customer=stripe.customer_of(organization), by_seconds=23 * DAY)
    stripe.deliver_all(organization)

    assert store.current(organization).seats == 1


def test_a_change_at_once_replaces_what_was_scheduled(organization, stripe):
    changes.change(organization, owner_of(organization), Wish(seats=2))

    shown = preview.of_change(organization, Wish(seats=6))
    done = changes.change(organization, owner_of(organization), Wish(seats=6))

    assert (shown.replaces.seats, shown.replaces.at) == (2, store.current(organization).period_end)
    assert done.replaces == shown.replaces
    assert organization.subscriptions.get().scheduled == {}
    stripe.simulator.advance(customer=stripe.customer_of(organization), by_seconds=23 * DAY)
    stripe.deliver_all(organization)
    assert store.current(organization).seats == 6


def test_a_change_that_is_declined_leaves_what_was_scheduled(organization, stripe):
    changes.change(organization, owner_of(organization), Wish(seats=2))
    stripe.simulator.set_card(stripe.customer_of(organization), "decline")

    with pytest.raises(CardDeclined):
        changes.change(organization, owner_of(organization), Wish(seats=6))

    stripe.deliver_all(organization)
    assert organization.subscriptions.get().scheduled["quantity"] == 2
    changes.keep(organization, owner_of(organization))
    assert organization.subscriptions.get().scheduled == {}


def test_what_somebody_schedules_at_stripe_is_known_by_the_schedules_events_alone(
    organization, stripe
):
    subscription = organization.subscriptions.get()
    known = {event["id"] for event in stripe.simulator.events()}
    schedule = stripe_api.create_schedule(subscription.stripe_id, key="dashboard")
    running, item = schedule["current_phase"], subscription.items[0]
    now = {"items": [{"price": item["price"], "quantity": 3}], "proration_behavior": "none"}
    then = {"items": [{"price": item["price"], "quantity": 1}], "proration_behavior": "none"}
    period = {"start_date": running["start_date"], "end_date": running["end_date"]}
    rest = {"duration": {"interval": "month", "interval_count": 1}}
    stripe_api.update_schedule(
        schedule["id"],
        {"phases": [now | period, then | rest], "end_behavior": "release"},
        key="dashboard-phases",
    )

    stripe.deliver(
        event
        for event in stripe.simulator.events()
        if event["id"] not in known and event["type"].startswith("subscription_schedule.")
    )

    assert organization.subscriptions.get().scheduled["quantity"] == 1


def test_nothing_scheduled_cannot_be_undone(organization):
    with pytest.raises(NothingToChange):
        changes.keep(organization, owner_of(organization))


def test_seats_in_use_are_not_given_up(organization):
    for _ in range(2):
        member_of(organization)

    with pytest.raises(SeatsInUse) as refusal:
        preview.of_change(organization, Wish(seats=2))

    assert refusal.value.extra["used"] == 3


@pytest.mark.parametrize("seats", [0, 51, 10**6])
def test_seats_stay_within_what_the_plan_sells(organization, seats):
    with pytest.raises(Unprocessable):
        preview.of_change(organization, Wish(seats=seats))


def test_what_is_there_already_is_no_change(organization):
    with pytest.raises(NothingToChange):
        preview.of_change(organization, Wish(plan_key="pro", interval="month", seats=3))


def test_a_preview_changes_nothing(organization, stripe):
    events = len(stripe.history_of(organization))

    preview.of_change(organization, Wish(seats=5))
    preview.of_change(organization, Wish(interval="year"))

    assert len(stripe.history_of(organization)) == events


def test_a_change_leaves_who_did_it_and_from_what_to_what(organization):
    person = owner_of(organization)

    changes.change(organization, person, Wish(seats=5))

    entry = AuditEntry.objects.get(action="billing.plan_changed")
    assert entry.actor_id == str(person.pk)
    assert {"seats": 3}.items() <= (entry.before or {}).items()
    assert {"seats": 5}.items() <= (entry.after or {}).items()


def test_the_webhooks_of_a_change_find_it_done(organization, stripe):
    changes.change(organization, owner_of(organization), Wish(seats=5))
    sequence = store.current(organization).sequence

    stripe.deliver_all(organization)

    assert store.current(organization).seats == 5
    assert store.current(organization).sequence >= sequence


@pytest.fixture
def three_plans(settings, tmp_path):
    """Starter, Pro and, per seat, Team; here each of them is for everybody."""
    lines = loading.path_of("sessions").read_text(encoding="utf-8").splitlines()
    path = tmp_path / "sessions.toml"
    path.write_text("\n".join(line for line in lines if not line.startswith("audience")), "utf-8")
    settings.CATALOG = str(path)


def test_a_bigger_plan_comes_at_once_and_a_smaller_one_with_the_renewal(three_plans, stripe):
    organization = on_pro(stripe, plan_key="starter", days=10)
    owner = owner_of(organization)
    up = preview.of_change(organization, Wish(plan_key="pro"))
    changes.confirm(organization, owner, up.quote)
    charged = newest_invoice(organization).amount_paid
    bigger = store.current(organization).plan.key

    down = preview.of_change(organization, Wish(plan_key="starter"))
    changes.confirm(organization, owner, down.quote)
    pass_days(stripe, organization, 22)

    assert (up.at_once, down.at_once) == (True, False)
    assert charged == up.due_today > 0
    assert bigger == "pro"
    assert store.current(organization).plan.key == "starter"
    assert newest_invoice(organization).total == down.next_invoice.receipt.total == 499


def test_a_plan_per_seat_starts_with_a_seat_for_everybody(three_plans, stripe):
    organization = on_pro(stripe, plan_key="pro", days=3)
    for _ in range(2):
        member_of(organization)

    shown = preview.of_change(organization, Wish(plan_key="team"))
    changes.confirm(organization, owner_of(organization), shown.quote)

    assert shown.seats == store.current(organization).seats == 3


@pytest.mark.django_db(transaction=True)
def test_many_clicks_at_once_are_one_change(stripe):
    organization = on_pro(stripe, seats=3, days=3)
    owner = owner_of(organization)
    quote = preview.of_change(organization, Wish(seats=5)).quote
    before = organization.invoices.count()

    done = at_once(6, lambda _number: changes.confirm(organization, owner, quote).seats)

    assert done == [5] * 6
    assert organization.invoices.count() == before + 1


@pytest.mark.django_db(transaction=True)
def test_of_two_tabs_with_two_prices_one_is_told_to_look_again(stripe):
    organization = on_pro(stripe, seats=3, days=3)
    owner = owner_of(organization)
    quotes = [preview.of_change(organization, Wish(seats=n)).quote for n in (5, 8)]

    def confirm(number):
        try:
            return changes.confirm(organization, owner, quotes[number]).seats
        except QuoteExpired:
            return None

    done = at_once(2, confirm)

    assert sorted(done, key=str) in ([5, None], [8, None])
    assert store.current(organization).seats in done
