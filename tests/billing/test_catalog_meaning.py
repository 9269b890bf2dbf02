"""What the catalogues say, as the rest of the house reads it."""

import pytest
from django.core.checks import run_checks
from django.utils import translation

from billing.catalog import features, loading, matrix
from billing.catalog.amounts import format_amount
from billing.catalog.policies import STATUSES
from orgs import capabilities

CATALOGS = {name: loading.load(loading.path_of(name)) for name in loading.shipped()}
GB, MB, HOUR = 2**30, 2**20, 3600


def test_the_plan_table_says_what_the_wireframe_says():
    groups = matrix.groups(CATALOGS["suite"], "usd", "en")

    table = {
        row.name: [cell.text or cell.state for cell in row.cells]
        for group in groups
        for row in group.rows
    }
    assert [group.name for group in groups] == ["Limits", "Control and support"]
    assert table == {
        "Storage": ["2 GB, uploads stop", "100 GB, uploads stop", "From 1 TB"],
        "Members": ["5", "50", "Unlimited"],
        "AI queries a month": [
            "1,000, then stop",
            "50,000, then $0.40 per 1,000",
            "Committed volume",
        ],
        "API requests a minute": ["60", "600", "6,000"],
        "Roles": ["Owner, member", "Owner, admin, member", "Custom roles"],
        "Audit log": ["absent", "90 days", "6 years, with export"],
        "Single sign-on": ["absent", "absent", "SAML and SCIM"],
        "Support": ["Community", "Email, 1 business day", "Named contact, 4 hours"],
    }


def test_the_rate_in_the_plan_table_follows_the_currency():
    with translation.override("en"):
        (limits, _) = matrix.groups(CATALOGS["suite"], "vnd")

    queries = next(row for row in limits.rows if row.key == "ai_queries")
    assert queries.cells[1].text == "50,000, then ₫10,000 per 1,000"


def test_the_plan_table_speaks_the_readers_language():
    (limits, _) = matrix.groups(CATALOGS["suite"], "vnd", "vi")

    assert limits.rows[0].name == "Dung lượng lưu trữ"
    assert limits.rows[0].cells[0].text == "2 GB, rồi ngừng tải lên"


def test_a_planned_row_says_planned_and_a_limit_of_nothing_says_absent():
    rows = {
        row.key: [cell.state for cell in row.cells]
        for group in matrix.groups(CATALOGS["containers"], "usd", "en")
        for row in group.rows
    }
    roadmap = {
        row.key: [cell.state for cell in row.cells]
        for group in matrix.groups(CATALOGS["workspaces"], "usd", "en")
        for row in group.rows
    }

    assert rows["agents"] == ["absent", "included", "included"]
    assert roadmap["scim"] == ["absent", "absent", "planned"]


@pytest.mark.parametrize("name", CATALOGS)
def test_what_is_planned_is_granted_to_nobody_not_even_in_beta(name):
    catalog = CATALOGS[name]
    planned = {key for key, feature in catalog.features.items() if feature.state == "planned"}

    granted = features.granted_in_beta(catalog).union(
        *(features.granted(catalog, plan) for plan in catalog.plans)
    )

    assert granted.isdisjoint(planned)
    assert granted | planned == set(catalog.features)


@pytest.mark.parametrize("name", CATALOGS)
def test_every_status_has_a_rule_and_no_unpaid_one_grants(name):
    statuses = CATALOGS[name].statuses

    grants = {status: statuses.rule(status).grants for status in STATUSES}

    assert grants["active"] == "full"
    assert {grants[status] for status in ("incomplete", "incomplete_expired", "canceled")} == {
        "none"
    }
    assert statuses.rule("a_status_of_next_year").grants == "none"


@pytest.mark.parametrize("name", CATALOGS)
def test_billing_roles_follow_the_document(name):
    bills = {
        role
        for role in ("admin", "member")
        if capabilities.Capability.BILLING_MANAGE in getattr(CATALOGS[name].roles, role)
    }

    assert bills == ({"admin"} if name in {"sessions", "workspaces"} else set())


def test_a_plan_has_the_features_of_every_plan_it_includes():
    sessions = CATALOGS["sessions"]

    team = features.granted(sessions, "team")

    assert features.granted(sessions, "free") < features.granted(sessions, "pro") < team
    assert features.announced(sessions, "pro") == {"dlp_secrets"}
    assert features.plans_with(sessions, "handoff") == ("pro", "team", "enterprise")
    assert sessions.plan_features("enterprise")["audit_retention"].value == 2192
    assert sessions.plan_features("team")["audit_retention"].value == 365


def test_sizes_hours_and_seats_are_as_the_documents_state_them():
    storage = {key: plan.limits["storage"] for key, plan in CATALOGS["sessions"].plans.items()}
    free = CATALOGS["containers"].plans["free"].limits

    assert {key: limit.amount for key, limit in storage.items()} == {
        "free": 50 * MB,
        "starter": 500 * MB,
        "pro": 500 * MB,
        "team": GB,
        "enterprise": None,
    }
    assert (storage["team"].per, storage["pro"].per) == ("seat", "organization")
    assert (free["memory"].amount, free["session"].amount) == (2 * GB, 50 * HOUR)
    assert (free["cpu"].amount, free["agents"].amount) == (2000, 0)


def test_a_transition_follows_its_own_rule_else_its_direction():
    containers = CATALOGS["containers"]

    when = {
        (source, target): containers.transition(source, target).when
        for source, target in [
            ("free", "pro"),
            ("pro", "enterprise"),
            ("enterprise", "pro"),
            ("pro", "free"),
        ]
    }

    assert when == {
        ("free", "pro"): "at_once",
        ("pro", "enterprise"): "at_once",
        ("enterprise", "pro"): "at_once",
        ("pro", "free"): "period_end",
    }


def test_status_words_are_the_documents():
    words = CATALOGS["containers"].statuses

    assert words.word(None) == "inactive"
    assert words.word("past_due") == "past_due"
    assert words.word("active", ending=True) == "canceled"
    assert words.word("canceled") == "inactive"
    assert CATALOGS["suite"].statuses.word("active", ending=True) == "active"


def test_a_subscription_may_hold_the_plan_its_overage_and_its_packs():
    items = CATALOGS["suite"].subscription_items("pro")

    assert [(item.kind, item.key) for item in items] == [
        ("plan", "pro"),
        ("overage", "ai_queries"),
        ("addon", "storage_10gb"),
    ]


def test_a_plan_may_differ_from_the_catalogues_own_policy():
    suite = CATALOGS["suite"]
    stricter = suite.plans["pro"].model_copy(
        update={
            "cancellation": suite.cancellation.model_copy(update={"when": "at_once"}),
            "portal": suite.portal.model_copy(update={"cancel": False}),
            "tax_code": "txcd_10000000",
        }
    )

    changed = suite.model_copy(update={"plans": {**suite.plans, "pro": stricter}})

    assert (suite.cancellation_of("pro").when, changed.cancellation_of("pro").when) == (
        "period_end",
        "at_once",
    )
    assert (suite.portal_of("pro").cancel, changed.portal_of("pro").cancel) == (True, False)
    assert changed.tax_code_of("pro") == "txcd_10000000"
    assert changed.tax_code_of("hobby") == suite.tax.code


def test_a_product_may_have_its_own_words():
    with translation.override("vi"):
        assert CATALOGS["workspaces"].word("organization", "tổ chức") == "không gian làm việc"
        assert CATALOGS["suite"].word("organization", "tổ chức") == "tổ chức"


def test_planned_meters_are_counted_and_billed_nowhere():
    containers = CATALOGS["containers"]
    planned = [key for key, meter in containers.meters.items() if meter.state == "planned"]

    limits = [plan.limits[key] for plan in containers.plans.values() for key in planned]

    assert planned == ["container_hours", "egress", "recording_storage", "agent_hours"]
    assert {(limit.amount, limit.hard, limit.overage) for limit in limits} == {(None, False, None)}


@pytest.mark.parametrize(
    ("amount", "catalog", "meter", "text"),
    [
        (None, "suite", "storage", "Unlimited"),
        (0, "suite", "storage", "0 B"),
        (1023, "suite", "storage", "1,023 B"),
        (2 * GB, "suite", "storage", "2 GB"),
        (100 * GB - 1, "suite", "storage", "99.9 GB"),
        (1_300 * GB, "suite", "storage", "1.2 TB"),
        (50_000, "suite", "ai_queries", "50,000"),
        (50 * HOUR, "containers", "session", "50 h"),
        (90, "containers", "session", "1.5 min"),
        (59, "containers", "session", "59 s"),
        (2000, "containers", "cpu", "2 vCPU"),
        (500, "containers", "cpu", "500 millicores"),
    ],
)
def test_amounts_read_in_their_meters_unit(amount, catalog, meter, text):
    with translation.override("en"):
        assert format_amount(amount, CATALOGS[catalog].meters[meter]) == text


def test_amounts_are_written_as_the_locale_writes_them():
    with translation.override("vi"):
        assert format_amount(100 * GB - 1, CATALOGS["suite"].meters["storage"]) == "99,9 GB"


@pytest.mark.django_db
def test_a_broken_catalogue_stops_the_start(settings, tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text(
        loading.path_of("suite").read_text().replace('default_plan = "hobby"', 'default_plan = ""')
    )
    settings.CATALOG = str(path)

    errors = [message for message in run_checks() if message.id == "billing.E001"]

    assert next(error.msg for error in errors).startswith("broken.toml: default_plan: ")
