"""Settings > Usage: figures, chart, who uses what, forms, file; who may see and do what."""

import csv
import io
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from orgs.models import AuditEntry, Membership, Role
from quotas.engine import enforcement
from quotas.models import AlertSetting, UsageControl, UsageLimit
from quotas.reading import rollups
from tests.billing import selling
from tests.factories.orgs import OrganizationFactory, UserFactory, member_of, owner_of
from tests.factories.quotas import SatelliteFactory

pytestmark = pytest.mark.django_db

GB = 2**30


@pytest.fixture
def team():
    """On Pro with ten seats since the 5th, 17 days into a month of 30."""
    selling.put_on_sale()
    team = OrganizationFactory.create(name="Hạ Long Studio", slug="ha-long")
    now = timezone.now()
    selling.pays(team, period_start=now - timedelta(days=17), period_end=now + timedelta(days=13))
    return team


def visit(person, team, name="usage", **query):
    """As the page itself asks for its fragments."""
    client = Client(headers={"HX-Request": "true"} if name == "usage-meters" else None)
    client.force_login(person)
    return client.get(reverse(f"quotas:{name}", kwargs={"slug": team.slug}), query)


def page_of(person, team, **query):
    response = visit(person, team, **query)
    assert response.status_code == 200
    return " ".join(response.content.decode().replace("\xa0", " ").split())


def post(person, team, name, fields):
    client = Client()
    client.force_login(person)
    url = reverse(f"quotas:{name}", kwargs={"slug": team.slug})
    return client.post(url, fields, follow=True)


def use(team, amount, *, meter="ai_queries", days_ago=0, member="", key=None):
    at = timezone.now() - timedelta(days=days_ago)
    key = key or f"{meter}-{amount}-{days_ago}-{member}"
    return enforcement.record(
        team, meter, amount, idempotency_key=key, occurred_at=at, member=member
    )


def test_a_card_says_how_much_of_what_and_where_it_is_going(team):
    use(team, 42_180)

    page = page_of(owner_of(team), team)

    assert "42,180 <small>of 50,000 included</small>" in page
    assert re.search(r"On pace for 7\d,\d{3} by ", page)
    assert "After 50,000, $0.40 per 1,000, so about $9" in page
    assert 'aria-valuenow="42180"' in page


def test_the_cost_so_far_is_the_plan_and_what_is_beyond_it(team):
    use(team, 53_000)

    page = page_of(owner_of(team), team)

    assert "$61.20" in page  # ten seats of $6, three thousand queries of $0.40
    assert "of $25.00 cap" in page


def test_a_full_level_says_so_in_card_sidebar_and_banner(team):
    use(team, 100 * GB, meter="storage")

    page = page_of(owner_of(team), team)

    assert "Storage is full" in page
    assert '<span class="pill bad">Full</span>' in page
    assert "100 GB of 100 GB" in page


def test_an_approaching_limit_is_a_warning_with_the_pace_of_the_week(team):
    use(team, 92 * GB, meter="storage", days_ago=3)
    rollups.catch_up()

    page = page_of(owner_of(team), team)

    assert "Storage: 92% is used" in page
    assert "the limit is reached around" in page
    assert '<span class="pill warn">Near limit</span>' in page


def test_the_chart_has_the_included_line_the_projection_and_a_table(team):
    for days_ago in (10, 5, 1):
        use(team, 15_000, days_ago=days_ago)
    rollups.catch_up()

    page = page_of(owner_of(team), team, meter="ai_queries")

    assert '<polyline class="line" points="0.0,400.0' in page
    assert '<polyline class="dash"' in page
    assert '<path class="cap" d="M0 ' in page
    assert page.count('<td class="end">15,000</td>') >= 3
    assert '<td class="end">45,000</td>' in page


def test_who_uses_what_names_members_and_services(team):
    ann = UserFactory.create(name="Ann Lê")
    Membership.objects.create(organization=team, user=ann, role=Role.MEMBER)
    use(team, 750, member=str(ann.pk))
    use(team, 250, member="render-worker")
    rollups.catch_up()

    by_member = page_of(owner_of(team), team)
    by_service = page_of(owner_of(team), team, by="satellite")

    assert "Ann Lê" in by_member
    assert "render-worker" in by_member
    assert 'value="75"' in by_member
    assert "The product itself" in by_service


def test_who_used_only_another_meter_is_named_too_and_the_small_ones_are_added_up(team):
    use(team, 30, member="heavy-user")
    use(team, 2 * GB, meter="storage", member="keeper")
    for number in range(25):
        use(team, 1, member=f"small-{number:02}")
    rollups.catch_up()

    page = page_of(owner_of(team), team, meter="ai_queries")
    by_storage = page_of(owner_of(team), team, meter="storage")

    table = by_storage.partition("Who is using what")[2]
    assert table.index("keeper") < table.index("heavy-user")
    assert "small-18" in page
    assert "small-19" not in page
    assert re.search(r"Others</th>.*?>6</td>\s*<td class=.end.>2 GB</td>", page)


def test_a_member_sees_the_totals_and_their_own_share_alone(team):
    member = member_of(team)
    use(team, 700, member=str(member.pk))
    use(team, 300, member="somebody-else")
    rollups.catch_up()

    page = page_of(member, team)

    assert "Of it yours: 700" in page
    assert "somebody-else" not in page
    assert "Cost so far" not in page
    assert "Who is using what" not in page


def test_an_admin_watches_and_decides_nothing(team):
    admin = member_of(team, Role.ADMIN)

    page = page_of(admin, team)
    refused = post(admin, team, "usage-alerts", {"thresholds": ["75"]})

    assert "Cost so far" in page
    assert "Email alerts" not in page
    assert refused.status_code == 403


def test_the_fragment_is_the_cards_and_the_meters_beside_them(team):
    use(team, 5)

    html = visit(owner_of(team), team, "usage-meters").content.decode()

    assert html.strip().startswith("<section")
    assert "every 15s" in html
    assert 'id="sidebar" hx-swap-oob="true"' in html
    assert "<html" not in html


def test_stopping_at_the_included_amount_applies_at_once_and_is_audited(team):
    use(team, 50_000)

    answer = post(owner_of(team), team, "usage-overage", {"meter": "ai_queries", "choice": "stop"})

    refused = enforcement.consume(team, "ai_queries", 1, idempotency_key="one-more")
    entry = AuditEntry.objects.get(action="usage.overage_decided")
    assert "It applies at once." in answer.content.decode()
    assert not refused.allowed
    assert (entry.target, entry.after["choice"]) == ("ai_queries", "stop")


def test_a_cap_is_money_and_stops_the_meter_exactly(team):
    post(
        owner_of(team),
        team,
        "usage-overage",
        {"meter": "ai_queries", "choice": "bill", "cap": "0.40"},
    )

    limit = UsageLimit.objects.get(organization=team, meter="ai_queries")
    exact = enforcement.consume(team, "ai_queries", 51_000, idempotency_key="all")
    beyond = enforcement.consume(team, "ai_queries", 1, idempotency_key="beyond")

    assert UsageControl.objects.get(organization=team).cap == 40
    assert limit.overage_cap == 1000
    assert (exact.allowed, beyond.allowed) == (True, False)


@pytest.mark.parametrize("cap", ["-1", "0.001", "NaN", "1e99", "x"])
def test_a_cap_that_is_no_amount_of_money_is_refused_in_words(team, cap):
    answer = post(
        owner_of(team),
        team,
        "usage-overage",
        {"meter": "ai_queries", "choice": "bill", "cap": cap},
    )

    assert answer.status_code == 200
    assert 'class="note error"' in answer.content.decode()
    assert not UsageControl.objects.exists()


def test_alert_thresholds_are_chosen_and_audited(team):
    post(owner_of(team), team, "usage-alerts", {"thresholds": ["90"], "another": "50"})

    page = page_of(owner_of(team), team)

    assert AlertSetting.objects.get(organization=team).thresholds == [50, 90]
    assert 'name="thresholds" value="50" checked' in page
    assert 'name="thresholds" value="75">' in page
    assert AuditEntry.objects.get(action="usage.alerts_changed").before == {
        "thresholds": [75, 90, 100]
    }


def test_the_file_has_a_row_per_day_and_member_and_no_formula(team):
    use(team, 5, member="=HYPERLINK(1)")
    use(team, 7, member="bob", days_ago=2)
    rollups.catch_up()

    response = visit(owner_of(team), team, "usage-csv")

    rows = list(csv.DictReader(io.StringIO(b"".join(response).decode())))
    assert [(row["member"], row["added"]) for row in rows] == [
        ("bob", "7"),
        ("'=HYPERLINK(1)", "5"),
    ]


def test_a_members_file_has_their_own_rows_alone(team):
    member = member_of(team)
    use(team, 5, member=str(member.pk))
    use(team, 7, member="somebody-else")
    rollups.catch_up()

    text = b"".join(visit(member, team, "usage-csv")).decode()

    assert str(member.pk) in text
    assert "somebody-else" not in text


def test_a_period_that_is_over_keeps_its_figures(team):
    use(team, 321, days_ago=30)
    rollups.catch_up()
    page = page_of(owner_of(team), team)
    former = re.search(r'<option value="(\d{8}T\d{6}Z)">', page)[1]

    past = page_of(owner_of(team), team, period=former)
    year = page_of(owner_of(team), team, period="year")

    assert "321 <small></small>" in past
    assert "every 15s" not in past
    assert "Show monthly numbers" in year


def test_before_anything_is_used_the_page_says_so(team):
    page = page_of(owner_of(team), team)

    assert "nothing used in this period yet" in page
    assert "0 <small>of 50,000 included</small>" in page
    assert 'aria-label="Usage this period" hidden' in page


def test_the_page_speaks_vietnamese(team):
    use(team, 42_180)
    client = Client()
    client.force_login(owner_of(team))
    client.post("/preferences/language/", {"language": "vi"})

    html = client.get(reverse("quotas:usage", kwargs={"slug": team.slug})).content.decode()

    assert "Truy vấn AI" in html
    assert "42.180" in html
    assert "Cost so far" not in html


@pytest.mark.parametrize(("name", "most"), [("usage", 34), ("usage-meters", 18)])
def test_a_thousand_members_cost_the_queries_of_one(
    team, name, most, django_assert_max_num_queries
):
    owner = owner_of(team)
    use(team, 3, member=str(owner.pk))
    rollups.catch_up()
    client = Client(headers={"HX-Request": "true"} if name == "usage-meters" else None)
    client.force_login(owner)
    url = reverse(f"quotas:{name}", kwargs={"slug": team.slug})
    client.get(url)  # now the plan and its limits are derived, and the visit is stamped
    with django_assert_max_num_queries(most) as for_one:
        client.get(url)
    people = [UserFactory.build(email=f"crowd-{n}@example.com") for n in range(1000)]
    type(people[0]).objects.bulk_create(people)
    Membership.objects.bulk_create(
        Membership(organization=team, user=person, role=Role.MEMBER) for person in people
    )
    for person in people[:40]:
        use(team, 2, member=str(person.pk))
    rollups.catch_up()

    with django_assert_max_num_queries(most) as for_many:
        client.get(url)

    # Fewer, because what is said of missing seats comes before what is said of usage.
    assert len(for_many) <= len(for_one)


def test_services_are_named(team):
    drive = SatelliteFactory.create(name="Drive <b>")
    limits = UsageLimit.objects.filter(organization=team)
    assert not limits.exists()
    enforcement.record(team, "storage", GB, idempotency_key="file", satellite=drive.pk)
    rollups.catch_up()

    page = page_of(owner_of(team), team, meter="storage", by="satellite")

    assert "Drive &lt;b&gt;" in page
