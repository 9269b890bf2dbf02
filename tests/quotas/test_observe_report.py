"""Observe, forecast, enforce: what the report foretells is what enforcement then refuses."""

import csv
from collections import Counter
from datetime import timedelta
from io import StringIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import catalog, evidence
from billing.catalog.apply import apply
from billing.entitlement import store
from billing.evidence import Attachment
from billing.models import Classification, Evidence
from orgs import members
from orgs.exceptions import DomainError, Unprocessable
from orgs.models import AuditEntry
from quotas import enforcement_modes, tasks
from quotas.decorators import require_feature
from quotas.enforcement_modes import Order, SwitchRefused
from quotas.engine import enforcement, limits
from quotas.engine.decisions import Line
from quotas.exceptions import FeatureUnavailable, QuotaError
from quotas.models import EnforcementSwitch, Observation, UsageLimit
from quotas.reading import observe_report
from tests.billing.selling import pays, put_on_sale
from tests.factories.orgs import (
    InvitationFactory,
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
    owner_of,
)
from tests.factories.quotas import limited

pytestmark = pytest.mark.django_db

STORAGE, QUERIES, CALLS = "storage", "ai_queries", "api_calls"


@pytest.fixture
def on_sale():
    apply(catalog.current(), None, {})


def proof():
    return evidence.attach(Attachment(link="https://example.com/qa"), author=None)


def switched(mode, **scope):
    attached = proof() if mode == "enforce" else None
    order = Order(mode=mode, reason="a test", evidence=attached, **scope)
    return enforcement_modes.switch(order, actor=UserFactory.create())


def mode_of(organization, meter):
    return UsageLimit.objects.get(organization=organization, meter=meter).enforcement


# --- Traffic ----------------------------------------------------------------------------------


def run(organization, traffic):
    """Sends the traffic as a satellite would; counts refused calls by meter and reason."""
    refused, holds = Counter(), {}
    for number, (verb, *what) in enumerate(traffic):
        key = f"call-{number}"
        try:
            if verb == "reserve":
                found = enforcement.reserve(organization, *what, idempotency_key=key)
                holds[number] = found.id
                refused.update(_refusal(found.decision))
            elif verb in {"commit", "void"}:
                _end(holds, verb, *what)
            else:
                refused.update(_refusal(_send(organization, verb, what, key)))
        except QuotaError:
            continue  # the end of a use that was refused
    return refused


def _send(organization, verb, what, key):
    if verb == "consume":
        return enforcement.consume_all(
            organization, [Line(*line) for line in what], idempotency_key=key
        ).deciding
    if verb == "record":
        return enforcement.record(organization, *what, idempotency_key=key)
    if verb == "undo":
        return enforcement.release(organization, idempotency_key=f"call-{what[0]}").deciding
    if verb == "give_back":
        return enforcement.release_amount(organization, *what, idempotency_key=key)
    return enforcement.set_level(organization, what[0], what[1], observed_at=timezone.now())


def _end(holds, verb, number, amount):
    hold = holds.pop(number, None)
    if hold is not None and verb == "void":
        enforcement.void(hold)
    elif hold is not None:
        enforcement.commit(hold, amount)


def _refusal(decision):
    if decision.reason in {None, "release_exceeds_usage"} or decision.allowed:
        return []
    return [(decision.meter, decision.reason)]


LINE = st.tuples(st.sampled_from([STORAGE, QUERIES]), st.integers(1, 9))
CALL = st.one_of(
    st.lists(LINE, min_size=1, max_size=2).map(lambda lines: ("consume", *lines)),
    st.tuples(st.just("consume"), LINE),
    st.tuples(st.just("record"), st.sampled_from([STORAGE, QUERIES]), st.integers(1, 6)),
    st.tuples(st.just("undo"), st.integers(0, 12)),
    st.tuples(st.just("give_back"), st.just(STORAGE), st.integers(1, 6)),
    st.tuples(st.just("reserve"), st.sampled_from([STORAGE, QUERIES]), st.integers(4, 9)),
    st.tuples(st.sampled_from(["commit", "void"]), st.integers(0, 12), st.integers(0, 4)),
    st.tuples(st.just("level"), st.just(STORAGE), st.integers(0, 14)),
)


def examined(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


TRAFFIC = st.lists(CALL, min_size=3, max_size=25)
CAP = st.sampled_from([None, 0, 5])


@examined(15)
@given(traffic=TRAFFIC, cap=CAP)
def test_the_forecast_is_what_enforcement_refuses_of_the_same_traffic(db, traffic, cap):
    foretold_is_refused(traffic, cap)


@pytest.mark.verify
@examined(200)
@given(traffic=TRAFFIC, cap=CAP)
def test_the_forecast_is_what_enforcement_refuses_of_much_traffic(db, traffic, cap):
    foretold_is_refused(traffic, cap)


def foretold_is_refused(traffic, cap):
    soft = {"amount": 12, "hard": cap is None, "overage": "bill", "overage_cap": cap}
    watched, strict = (
        limited(
            storage={"amount": 10, "enforcement": mode}, ai_queries={**soft, "enforcement": mode}
        )
        for mode in ("observe", "enforce")
    )
    since = timezone.now()

    assert run(watched, traffic) == Counter()

    report = observe_report.of(since - timedelta(minutes=1))
    foretold = {
        (line.subject, line.reason): line.calls
        for line in report.lines
        if line.organization == watched and line.calls
    }
    assert foretold == dict(run(strict, traffic))


def test_observe_then_report_then_enforce_from_end_to_end():
    """Three organizations of one deployment, the same week of calls before and after the switch."""
    put_on_sale()
    whole = switched("observe")
    heavy, light, free = (OrganizationFactory.create(slug=s) for s in ("heavy", "light", "free"))
    for organization in (heavy, light):
        pays(organization)
    weeks = {heavy: list(_week(60_000)), light: list(_week(900)), free: list(_week(4_000))}
    for organization in weeks:
        limits.derive(organization, store.current(organization))

    observed = {organization: run(organization, week) for organization, week in weeks.items()}
    report = observe_report.of()

    assert not any(observed.values())
    foretold = {(line.organization.slug, line.subject): line.calls for line in report.lines}
    assert {slug for slug, _meter in foretold} >= {"free"}
    # The switch, and the same traffic by organizations that stand where these stood.
    enforcement_modes.undo(whole, actor=UserFactory.create())
    enforcement_modes.settle()
    refused = {}
    for organization, week in weeks.items():
        twin = OrganizationFactory.create()
        if organization != free:
            pays(twin)
        limits.derive(twin, store.current(twin))
        for (meter, _reason), calls in run(twin, week).items():
            refused[organization.slug, meter] = calls
    assert refused == {place: calls for place, calls in foretold.items() if calls}


def _week(size):
    """Uploads and questions of seven days; some are undone, and some files are deleted."""
    megabyte = 2**20
    for day in range(7):
        yield ("consume", (QUERIES, size // 5 + 1))
        yield ("consume", (STORAGE, size * megabyte // 20 + 1))
        yield ("consume", (STORAGE, megabyte), (QUERIES, 1))
        if day % 3 == 2:
            yield ("give_back", STORAGE, megabyte)
        yield ("undo", day)


def test_revenue_at_stake_counts_each_organization_once_and_never_adds_up_currencies():
    put_on_sale()
    organization = OrganizationFactory.create()
    pays(organization)
    limited(
        organization,
        storage={"amount": 1, "enforcement": "observe"},
        ai_queries={"amount": 1, "enforcement": "observe"},
    )
    for meter in (STORAGE, QUERIES):
        enforcement.consume(organization, meter, 5, idempotency_key=meter)

    report = observe_report.of()

    assert report.calls == 2
    assert report.organizations == 1
    assert report.at_stake == {"usd": 6000}


def test_what_leaves_no_row_in_the_ledger_is_in_the_report(on_sale):
    organization = OrganizationFactory.create()
    switched("observe", organization=organization)
    limited(organization, ai_queries={"amount": 3, "enforcement": "observe"})
    UsageLimit.objects.filter(organization=organization, meter="members").update(amount=1)

    for _ in range(2):
        enforcement.authorize(organization, QUERIES, 9)
    require_feature(organization, "audit_log")
    invitation = InvitationFactory.create(organization=organization)
    members.accept(invitation.secret, user=UserFactory.create(email=invitation.email))

    lines = {line.subject: line for line in observe_report.of().lines}
    assert (lines[QUERIES].kind, lines[QUERIES].calls, lines[QUERIES].amount) == (
        "authorize",
        2,
        18,
    )
    assert (lines["audit_log"].kind, lines["audit_log"].calls) == ("feature", 1)
    assert (lines["members"].kind, lines["members"].calls) == ("seat", 1)


# --- Switching --------------------------------------------------------------------------------


def test_the_narrowest_switch_wins_and_undoing_it_uncovers_what_it_covered(on_sale):
    organization, other = OrganizationFactory.create(), OrganizationFactory.create()
    for each in (organization, other):
        limits.derive(each, store.current(each))

    switched("observe")
    switched("disabled", organization=organization)
    narrow = switched("enforce", organization=organization, subject=STORAGE)
    assert enforcement_modes.unsettled().count() == 1
    tasks.settle_enforcement()
    assert not enforcement_modes.unsettled().exists()

    assert mode_of(organization, STORAGE) == "enforce"
    assert mode_of(organization, QUERIES) == "disabled"
    assert mode_of(other, STORAGE) == "observe"

    enforcement_modes.undo(narrow, actor=UserFactory.create())

    assert mode_of(organization, STORAGE) == "disabled"
    assert AuditEntry.objects.filter(action="enforcement.switched").count() == 3
    assert AuditEntry.objects.filter(action="enforcement.undone", target=STORAGE).count() == 1


def test_enforcing_needs_evidence_a_reason_and_something_that_exists(on_sale):
    actor = UserFactory.create()
    for order in (
        Order(mode="enforce", reason="without evidence"),
        Order(mode="observe", reason=" "),
        Order(mode="watch", reason="no such mode"),
        Order(mode="observe", reason="no such meter", subject="bananas"),
    ):
        with pytest.raises(DomainError):
            enforcement_modes.switch(order, actor=actor)
    with pytest.raises(Unprocessable):
        evidence.attach(Attachment(link="javascript:alert(1)"), author=actor)

    assert not EnforcementSwitch.objects.exists()


def test_enforcing_is_refused_while_an_organization_is_not_classified(settings):
    settings.CATALOG = "workspaces"
    apply(catalog.current(), None, {})
    organization = OrganizationFactory.create(slug="pilot-one")
    personal = owner_of(organization).organizations.exclude(pk=organization.pk).get()
    limits.derive(organization, store.current(organization))
    assert mode_of(organization, "members") == "observe"
    Classification.objects.create(organization=personal, kind="default")

    order = Order(mode="enforce", reason="go", evidence=proof())
    with pytest.raises(SwitchRefused, match="pilot-one"):
        enforcement_modes.switch(order, actor=owner_of(organization))

    Classification.objects.create(organization=organization, kind="default")
    enforcement_modes.switch(order, actor=owner_of(organization))
    enforcement_modes.settle()
    assert mode_of(organization, "members") == "enforce"
    # Its document: a seat beyond those bought is flagged, never refused.
    MembershipFactory.create(organization=organization)


def test_a_paid_act_is_let_through_and_written_down_until_it_is_enforced(settings):
    settings.CATALOG = "workspaces"
    apply(catalog.current(), None, {})
    organization = OrganizationFactory.create()

    require_feature(organization, "external_imports")
    with pytest.raises(FeatureUnavailable):
        require_feature(organization, "sso")

    assert Observation.objects.get().subject == "external_imports"
    for each in enforcement_modes.unclassified():
        Classification.objects.create(organization=each, kind="default")
    order = Order(mode="enforce", reason="go", evidence=proof(), subject="external_imports")
    enforcement_modes.switch(order, actor=owner_of(organization))
    with pytest.raises(FeatureUnavailable):
        require_feature(organization, "external_imports")
    require_feature(organization, "ai_imports")


# --- Pages and command ------------------------------------------------------------------------


def test_staff_switch_undo_and_read_the_report(admin_client, settings, on_sale):
    settings.ADMIN_REQUIRES_MFA = False
    organization = OrganizationFactory.create(slug="acme", name="=1+1")
    limits.derive(organization, store.current(organization))
    page = reverse("admin:enforcement-modes")
    order = {"mode": "enforce", "organization": "acme", "subject": STORAGE, "reason": "ready"}

    refused = admin_client.post(page, order)
    assert refused.status_code == 422
    assert "evidence" in refused.content.decode()
    assert admin_client.post(page, order | {"organization": "nobody"}).status_code == 422

    file = SimpleUploadedFile("../qa <b>.html", b"<script>alert(1)</script>")
    assert admin_client.post(page, order | {"file": file}).status_code == 302
    made = EnforcementSwitch.objects.get()
    kept = admin_client.get(reverse("admin:evidence-file", args=[made.evidence_id]))
    assert kept.content == b"<script>alert(1)</script>"
    assert kept["Content-Type"] == "application/octet-stream"
    assert kept["Content-Disposition"].startswith('attachment; filename="qa__b_.html"')
    assert Evidence.objects.get().sha256 in str(Evidence.objects.values_list("sha256", flat=True))

    row = reverse("admin:billing_evidence_change", args=[made.evidence_id])
    assert "Content-Disposition" not in admin_client.get(row)
    assert reverse("admin:evidence-file", args=[made.evidence_id]) in (
        admin_client.get(row).content.decode()
    )
    shown = admin_client.get(page).content.decode()
    assert "acme" in shown
    undo = reverse("admin:enforcement-undo", args=[made.pk])
    assert admin_client.post(undo).status_code == 302
    assert EnforcementSwitch.objects.standing().count() == 0

    limited(organization, storage={"amount": 1, "enforcement": "observe"})
    enforcement.consume(organization, STORAGE, 5, idempotency_key="a")
    text = admin_client.get(reverse("admin:observe-report")).content.decode()
    assert "acme" in text
    rows = list(
        csv.DictReader(
            StringIO(admin_client.get(reverse("admin:observe-report-csv")).content.decode())
        )
    )
    assert rows[0]["name"] == "'=1+1"
    assert (rows[0]["subject"], rows[0]["calls"]) == (STORAGE, "1")


def test_the_report_takes_as_many_queries_for_many_as_for_one(django_assert_num_queries):
    def use(organization):
        limited(organization, storage={"amount": 1, "enforcement": "observe"})
        enforcement.consume(organization, STORAGE, 5, idempotency_key="a")

    use(OrganizationFactory.create())
    with CaptureQueriesContext(connection) as captured:
        observe_report.of()
    for _ in range(3):
        use(OrganizationFactory.create())
    with django_assert_num_queries(len(captured)):
        assert len(observe_report.of().lines) == 4


def test_the_command_says_who_would_be_refused_and_what_that_pays(capsys, tmp_path):
    put_on_sale()
    team = OrganizationFactory.create(slug="acme")
    pays(team)
    limited(team, storage={"amount": 1, "enforcement": "observe"})
    enforcement.consume(team, STORAGE, 5, idempotency_key="a")
    file = tmp_path / "observed.csv"

    call_command("enforcement", "report")
    call_command("enforcement", "report", "--csv", str(file))

    said = capsys.readouterr().out
    assert "acme  pro  " in said
    assert "1 calls of 1 organizations would be refused" in said
    assert "at stake per month: US$" in said or "at stake per month: $" in said
    assert f"1 lines in {file}" in said
    with file.open(newline="") as written:
        assert [row["organization"] for row in csv.DictReader(written)] == ["acme"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("switch", "observe", "--reason", "x", "--organization", "nobody"), "is called nobody"),
        (("switch", "enforce", "--reason", "x", "--evidence", "/no/such/file"), "No such file"),
        (("undo", "0"), "no such switch"),
    ],
)
def test_the_command_refuses_what_is_not_there(on_sale, arguments, said):
    with pytest.raises(CommandError, match=said):
        call_command("enforcement", *arguments)

    assert not EnforcementSwitch.objects.exists()


def test_the_command_shows_switches_and_undoes(capsys, tmp_path, on_sale):
    OrganizationFactory.create(slug="acme")
    with pytest.raises(CommandError, match="evidence"):
        call_command("enforcement", "switch", "enforce", "--reason", "go")
    file = tmp_path / "qa.txt"
    file.write_text("seen")

    call_command(
        "enforcement", "switch", "enforce", "--organization", "acme", "--reason", "go",
        "--evidence", str(file),
    )  # fmt: skip
    call_command("enforcement", "switch", "observe", "--reason", "look first")
    call_command("enforcement", "status")
    call_command("enforcement", "undo")
    call_command("enforcement", "report", "--csv", "-")

    said = capsys.readouterr().out
    assert "acme: enforce since" in said
    assert "deployment: observe" in said
    assert "undone" in said
    assert "organization,name,plan" in said
    assert EnforcementSwitch.objects.standing().get().organization.slug == "acme"
