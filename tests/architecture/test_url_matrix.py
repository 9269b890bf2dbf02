"""Role x URL x owner of the object, from the URLconf: nothing is reachable by accident."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from billing.models import Access, EffectivePlan
from orgs import capabilities, tokens
from orgs.models import Membership, Organization, PersonalToken, Role, User
from quotas import satellites
from quotas.models import Satellite
from tests.architecture import urlconf
from tests.architecture.asking import Ask, rows_written, undone
from tests.architecture.url_rules import FAMILIES, ORGANIZATIONS, RULES, SAFE, Rule, Who, rules_of
from tests.architecture.urlconf import Route
from tests.architecture.world import World
from tests.factories.orgs import UserFactory

ROLES = {"owner": Role.OWNER, "admin": Role.ADMIN, "member": Role.MEMBER}
READERS_BESIDES = ("admin", "member", "stranger", "staff", "nobody")
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
REFUSED_ANONYMOUS = {
    Who.PERSON: 302,
    Who.MEMBER: 302,
    Who.CALLER: 401,
    Who.TOKEN_OR_PERSON: 401,
    Who.SATELLITE: 401,
}
WITHOUT_A_COOKIE = {Who.STRIPE, Who.SATELLITE}  # no cookie proves them, so none can be abused
# Ids of rows of one organization, and what else a URL may name.
IDS = ("membership_id", "invitation_id", "token_id", "session_id")
OTHER_ARGUMENTS = {
    "slug": "the organization itself: `test_who_is_not_a_member_finds_nothing`",
    "organization": "of a satellite's call: its token's scope",
    "reservation": "of a satellite's call: `test_a_hold_of_another_organization_is_not_found`",
    "feature": "a word of the catalogue",
    "token": "an invitation's secret",
    "key": "a mail's secret",
    "uidb36": "a mail's secret says whose password",
}
# Tables that a read may touch, and why.
STAMPS = {
    "orgs_membership": "last_active_at, at most every 15 minutes",
    "orgs_personaltoken": "last_used_at, at most once a minute",
    "quotas_servicetoken": "last_used_at",
    "billing_plansvisit": "once per organization and day, while it has no subscription",
}
SETTLING = {
    "o/<slug:slug>/settings/billing/return/": "settles its own session (B4)",
    "o/<slug:slug>/settings/billing/return/state/": "settles its own session (B4)",
}


def ruled(*audiences: Who) -> Iterator[tuple[Route, Rule, str]]:
    """Every URL with a rule of its own, once per method; the admin's are tested as a family."""
    for route in urlconf.routes():
        rule = RULES.get(route.pattern)
        if rule is not None and (not audiences or rule.who in audiences):
            for method in rule.answers:
                yield route, rule, method


# --- The rules themselves ---------------------------------------------------------------------


def test_every_url_has_exactly_one_rule():
    counted = {route.pattern: len(rules_of(route.pattern)) for route in urlconf.routes()}

    missing = [pattern for pattern, rules in counted.items() if rules == 0]
    doubled = [pattern for pattern, rules in counted.items() if rules > 1]

    assert not missing, f"Add a rule to tests/architecture/url_rules.py for: {missing}"
    assert not doubled, f"More than one rule claims: {doubled}"


def test_every_rule_has_a_url():
    patterns = {route.pattern for route in urlconf.routes()}

    gone = [pattern for pattern in RULES if pattern not in patterns]
    empty = [prefix for prefix in FAMILIES if not any(p.startswith(prefix) for p in patterns)]

    assert not gone + empty, f"Remove these rules, no URL has them: {gone + empty}"


def test_whatever_a_url_can_name_is_an_id_of_the_matrix_or_has_its_reason():
    named = {
        name
        for route in urlconf.routes()
        if route.pattern in RULES
        for name in [*route.arguments, *re.findall(r"{(\w+)}", RULES[route.pattern].query)]
    }
    # Regular expressions name their arguments in another way.
    named |= {"uidb36", "key"}

    assert named == {*IDS, *OTHER_ARGUMENTS}


def test_every_rule_about_an_organization_names_its_capabilities():
    incomplete = [
        f"{method} {route.pattern}"
        for route, rule, method in ruled(*ORGANIZATIONS)
        if rule.needs(method) is None
    ]

    assert not incomplete, f"Which capability do these need? {incomplete}"


def test_a_url_that_names_an_organization_is_for_its_members_and_no_other_is():
    astray = [
        route.pattern
        for route, rule, _method in ruled()
        if (rule.who is Who.MEMBER) != route.pattern.startswith("o/<slug:slug>/")
    ]

    assert not astray


# --- Who gets in ------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_what_the_rule_says(world_with_stripe, role):
    ask = Ask(world_with_stripe.client(role))
    held = capabilities.of_role(ROLES[role])

    for route, rule, method in ruled(*ORGANIZATIONS):
        status = rule.answers[method] if rule.needs(method) in held else 403
        ask.expect(status, method, route, samples_of(world_with_stripe, role, route))

    assert not ask.complaints, ask.report


@pytest.mark.django_db
@pytest.mark.parametrize("outsider", ["stranger", "staff", "nobody"])
def test_who_is_not_a_member_finds_nothing(world, outsider):
    world.people["nobody"] = member_of_nothing()
    ask = Ask(world.client(outsider))

    for route, _rule, method in ruled(*ORGANIZATIONS):
        ask.expect(404, method, route, world.samples)

    assert not ask.complaints, ask.report


def member_of_nothing() -> User:
    person = UserFactory.create()
    Organization.objects.filter(memberships__user=person).update(closed_at=timezone.now())
    Membership.objects.filter(user=person).delete()
    return person


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["anonymous", "owner"])
def test_the_anonymous_and_the_suspended_get_a_login_or_401(world, who):
    """An open session ends with the account."""
    ask = Ask(world.client(who))
    User.objects.filter(pk=world.people["owner"].pk).update(is_active=False)

    for route, rule, method in ruled(*REFUSED_ANONYMOUS):
        ask.expect(REFUSED_ANONYMOUS[rule.who], method, route, world.samples)

    assert not ask.complaints, ask.report


@pytest.mark.django_db
def test_what_is_open_to_anyone_answers_anyone(world):
    ask = Ask(world.client("anonymous"))

    for route, rule, method in ruled(Who.ANYONE, Who.LINK, Who.STRIPE):
        ask.expect(rule.answers[method], method, route, world.samples)

    assert not ask.complaints, ask.report


@pytest.mark.django_db
def test_people_get_their_own_pages(world):
    ask = Ask(world.client("owner"))

    for route, rule, method in ruled(Who.PERSON, Who.TOKEN_OR_PERSON):
        ask.expect(rule.answers[method], method, route, world.samples)

    assert not ask.complaints, ask.report


@pytest.mark.django_db
def test_a_method_without_a_rule_is_not_allowed(world):
    ask = Ask(world.client("owner"))

    for route in urlconf.routes():
        rule = RULES.get(route.pattern)
        if rule is None or _takes_any_method(route) or rule.who is Who.SATELLITE:
            continue
        for method in METHODS - set(rule.answers):
            ask.expect(405, method, route, world.samples)

    assert not ask.complaints, ask.report


def _takes_any_method(route: Route) -> bool:
    """django-allauth and Django's own language view take some methods for others."""
    return route.pattern.startswith(("accounts/", "preferences/language/"))


@pytest.mark.django_db
def test_the_named_capability_opens_a_url_and_no_other_does(world_with_stripe):
    ask = Ask(world_with_stripe.client("member"))

    for route, rule, method in ruled(*ORGANIZATIONS):
        needed = frozenset({rule.needs(method) or ""})
        samples = samples_of(world_with_stripe, "member", route)
        with members_hold(needed):
            ask.expect(rule.answers[method], method, route, samples)
        with members_hold(capabilities.ALL - needed):
            ask.expect(403, method, route, samples)

    assert not ask.complaints, ask.report


@contextmanager
def members_hold(held: frozenset[str]) -> Iterator[None]:
    former = capabilities.policy_provider()
    capabilities.bind_policy(lambda: {Role.MEMBER: held})
    try:
        yield
    finally:
        capabilities.bind_policy(former)


def samples_of(world: World, role: str, route: Route) -> dict[str, str]:
    """An API key is its holder's alone, whatever the role."""
    if "token_id" not in route.arguments:
        return world.samples
    own_key, _secret = tokens.issue(world.people[role], "of this role")
    return world.samples | {"token_id": str(own_key.pk)}


# --- Whose object it is -----------------------------------------------------------------------


@pytest.mark.django_db
def test_a_foreign_id_is_not_found_in_ones_own_organization(world_with_stripe):
    ask = Ask(world_with_stripe.client("owner"))
    tried = set()

    for route, rule, method in ruled(Who.MEMBER):
        for name in IDS:
            if name in route.arguments or name in rule.query:
                samples = world_with_stripe.samples | {
                    name: world_with_stripe.foreign_samples[name]
                }
                ask.expect(404, method, route, samples)
                tried.add(name)

    assert not ask.complaints, ask.report
    assert tried == set(IDS)


@pytest.mark.django_db
def test_an_api_call_about_a_foreign_organization_finds_nothing_by_slug_or_id(world):
    ask = Ask(world.client("owner"))

    for route, _rule, method in ruled(Who.CALLER):
        for name in (world.foreign.slug, str(world.foreign.pk), "no-such-organization"):
            ask.expect(404, method, route, world.samples, as_of=name)

    assert not ask.complaints, ask.report


# --- With what --------------------------------------------------------------------------------


@pytest.mark.django_db
def test_no_unsafe_request_passes_without_the_csrf_token(world):
    ask = Ask(world.client("owner", csrf=True))

    for route, rule, method in ruled():
        if method not in SAFE and rule.who not in WITHOUT_A_COOKIE:
            ask.expect(403, method, route, world.samples)

    assert not ask.complaints, ask.report


@pytest.mark.django_db
def test_a_personal_token_opens_the_api_within_its_scope(world_with_stripe):
    owner = world_with_stripe.people["owner"]
    secrets = {scope: tokens.issue(owner, scope, scopes=[scope])[1] for scope in tokens.SCOPES}
    row, secrets["none"] = tokens.issue(owner, "none")
    PersonalToken.objects.filter(pk=row.pk).update(scopes=[])
    reading, writing, neither = (
        Ask(world_with_stripe.bearer(secrets[scope])) for scope in ("read", "write", "none")
    )

    for route, rule, method in ruled(Who.CALLER, Who.TOKEN_OR_PERSON):
        right, wrong = (reading, writing) if method in SAFE else (writing, reading)
        right.expect(rule.answers[method], method, route, world_with_stripe.samples)
        wrong.expect(403, method, route, world_with_stripe.samples)
        neither.expect(403, method, route, world_with_stripe.samples)

    complaints = reading.complaints + writing.complaints + neither.complaints
    assert not complaints, "\n".join(complaints)
    assert set(tokens.SCOPES) == {"read", "write"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "kind", ["revoked", "suspended", "of a service", "unknown", "of another house"]
)
def test_a_dead_or_strange_token_opens_nothing(world, kind):
    ask = Ask(world.bearer(strange_secret(world, kind)))

    for route, _rule, method in ruled(Who.CALLER, Who.TOKEN_OR_PERSON):
        ask.expect(401, method, route, world.samples)

    assert not ask.complaints, ask.report


def strange_secret(world: World, kind: str) -> str:
    owner = world.people["owner"]
    if kind == "revoked":
        row, secret = tokens.issue(owner, "revoked")
        tokens.revoke(row, actor=owner)
        return secret
    if kind == "suspended":
        User.objects.filter(pk=owner.pk).update(is_active=False)
        return world.samples["personal_token"]
    if kind == "of a service":
        satellite = Satellite.objects.create(key="drive", name="Drive")
        return satellites.issue_token(satellite)[1]
    return "llp_unknown" if kind == "unknown" else "ghp_unknown"


@pytest.mark.django_db
def test_a_page_takes_no_token(world):
    ask = Ask(world.bearer(world.samples["personal_token"]))

    for route, _rule, method in ruled(Who.MEMBER, Who.PERSON):
        if method in SAFE:
            ask.expect(302, method, route, world.samples)

    assert not ask.complaints, ask.report


# --- While locked -----------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_locked_organization_writes_only_what_its_rules_leave_open(world_with_stripe):
    EffectivePlan.objects.filter(organization=world_with_stripe.own).update(access=Access.READ_ONLY)
    ask = Ask(world_with_stripe.client("owner"))

    for route, rule, method in ruled(*ORGANIZATIONS):
        open_now = method in SAFE or rule.when_locked
        status = rule.answers[method] if open_now else 403
        ask.expect(status, method, route, samples_of(world_with_stripe, "owner", route))

    assert not ask.complaints, ask.report


@pytest.mark.django_db
def test_what_the_lock_refuses_says_so(world):
    EffectivePlan.objects.filter(organization=world.own).update(access=Access.READ_ONLY)
    client = world.client("owner")

    page = client.post(f"/o/{world.own.slug}/settings/members/invite/")
    call = client.post(
        "/api/v1/billing/keep", {"organization": world.own.slug}, content_type="application/json"
    )

    assert 'data-code="account_locked"' in page.content.decode()
    assert call.json()["code"] == "account_locked"
    assert call["Content-Type"] == "application/problem+json"


# --- What reading may do ----------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "reader",
    [
        "anonymous",
        "owner",
        *(pytest.param(each, marks=pytest.mark.verify) for each in READERS_BESIDES),
    ],
)
def test_reading_writes_no_row(world, reader):
    world.people["nobody"] = member_of_nothing()
    client = world.client(reader)
    written: dict[str, set[str]] = {}

    for route, _rule, method in ruled():
        if method in SAFE and route.pattern not in SETTLING:
            before = rows_written()
            with undone():
                client.generic(method, route.url(world.samples))
            after = rows_written()
            touched = {table for table in after if after[table] != before[table]} - set(STAMPS)
            written |= {route.pattern: touched} if touched else {}

    assert written == {}


@pytest.mark.django_db
def test_the_measure_of_rows_sees_a_write_that_was_undone(world):
    before = rows_written()

    with undone():
        world.own.memberships.update(last_active_at=None)

    assert rows_written()["orgs_membership"] > before["orgs_membership"]


def test_the_reads_that_may_write_exist():
    assert set(SETTLING) <= set(RULES)


# --- The admin --------------------------------------------------------------------------------


# What staff may change with the permission for it, and why that rewrites no history.
EDITABLE = {
    "auth.group": "which permissions staff share",
    "axes.accessattempt": "deleting one lets a person in again before the time is over",
    "billing.grant": "given and ended by verbs, which the trail records",
    "mfa.authenticator": "taking a lost second factor away, which the trail records",
    "orgs.user": "switching people off and staff on, which the trail records",
    "quotas.noticeendpoint": "where satellites hear of changes; by verbs, too",
}
ADMIN_SAMPLES = {
    "id": "1",
    "object_id": "1",
    "content_type_id": "1",
    "action_name": "sync",
    "model_name": "account",
    "organization": "6f0c3c1e-0000-4000-8000-000000000001",
    "person": "6f0c3c1e-0000-4000-8000-000000000002",
}


def admin_routes() -> list[Route]:
    """Without its two regular expressions: an index of one app, and the page that finds nothing."""
    routes = [route for route in urlconf.routes() if route.pattern.startswith("admin/")]
    return [route for route in routes if "(?P<" not in route.pattern]


def admin_lists() -> list[Route]:
    return [route for route in admin_routes() if route.name.endswith("_changelist")]


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["anonymous", "owner", "staff"])
def test_the_admin_sends_everybody_away_who_is_not_staff_with_a_second_factor(world, who):
    second_factors(world).delete()
    ask = Ask(world.client(who))

    for route in admin_routes():
        with undone():
            response = ask.client.get(route.url(ADMIN_SAMPLES))
        ask.judge_headers(response, route.pattern)
        if response.status_code not in {302, 405}:
            ask.complaints.append(f"{route.pattern}: {response.status_code}")

    assert not ask.complaints, ask.report


def second_factors(world: World) -> QuerySet[Any]:
    found: QuerySet[Any] = Authenticator.objects.filter(user=world.people["staff"])
    return found


def test_the_reference_of_the_api_has_no_inline_code(client):
    html = client.get("/api/docs/").content.decode()

    assert "swagger-ui" in html
    assert "<style" not in html
    assert "<script>" not in html


@pytest.mark.verify
@pytest.mark.django_db
def test_no_unsafe_request_passes_in_the_admin_without_the_csrf_token(world):
    ask = Ask(world.client("staff", csrf=True))

    for route in admin_routes():
        response = ask.client.post(route.url(ADMIN_SAMPLES), {"post": "yes"})
        ask.judge_headers(response, route.pattern)
        if response.status_code != 403:
            ask.complaints.append(f"{route.pattern}: {response.status_code}")

    assert not ask.complaints, ask.report


@pytest.mark.django_db
def test_staff_with_every_permission_rewrite_nothing_but_what_is_theirs_to_edit(world):
    """The trail, changes of plans, what was received and sent: the admin only shows them (E11)."""
    ask = Ask(world.client("staff"))
    shown_only = {model._meta for model in admin.site._registry} - {
        model._meta for model in admin.site._registry if model._meta.label_lower in EDITABLE
    }
    before = rows_written()

    for meta in shown_only:
        name, form = f"admin:{meta.app_label}_{meta.model_name}", {"post": "yes"}
        for url in (
            reverse(f"{name}_add"),
            reverse(f"{name}_change", args=["1"]),
            reverse(f"{name}_delete", args=["1"]),
        ):
            status = ask.client.post(url, form).status_code
            ask.complaints += [] if status == 403 else [f"{url}: {status}"]

    deleting = {"action": "delete_selected", "_selected_action": ["1"], "post": "yes"}
    ask.client.post(reverse("admin:orgs_auditentry_changelist"), deleting)
    written = {name for name, rows in rows_written().items() if rows != before.get(name, 0)}
    assert not ask.complaints, ask.report
    assert written <= {"orgs_session", "billing_installation"}  # the latest time that was seen
    assert {"auditentry", "effectiveplanchange", "invoice"} <= {m.model_name for m in shown_only}
    assert {model._meta.label_lower for model in admin.site._registry} >= set(EDITABLE)


@pytest.mark.django_db
def test_staff_see_no_list_of_the_admin_without_its_permission(world):
    staff = world.people["staff"]
    staff.is_superuser = False
    staff.save()
    client = world.client("staff")

    seen = {route.pattern: client.get(route.url({})).status_code for route in admin_lists()}

    assert set(seen.values()) == {403}


@pytest.mark.django_db
def test_every_list_of_the_admin_opens_and_writes_nothing(world):
    ask = Ask(world.client("staff"))

    for route in admin_lists():
        before = rows_written()
        response = ask.client.get(route.url({}))
        ask.judge_headers(response, route.pattern)
        if (response.status_code, rows_written()) != (200, before):
            ask.complaints.append(f"{route.pattern}: {response.status_code}, or it wrote")

    assert not ask.complaints, ask.report
