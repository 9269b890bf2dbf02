"""Staff look at pages as somebody else: with a reason, for a while, and nothing but reading."""

from copy import deepcopy
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from orgs import impersonation, tokens
from orgs.models import AuditEntry, Impersonation, Invitation, Membership, PersonalToken, User
from tests.architecture import urlconf
from tests.architecture.asking import Ask, rows_written, undone
from tests.architecture.conftest import world
from tests.architecture.url_rules import ORGANIZATIONS, RULES, SAFE, Who
from tests.architecture.world import World
from tests.factories.orgs import PASSWORD, UserFactory

__all__ = ["world"]

REASON = "Ticket 4711: the invoices are said to be empty"
OF_THE_ACCOUNT = (
    "/accounts/2fa/recovery-codes/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/admin/",
)
# The session itself, and the staff member's last login.
OF_THE_SESSION = {"orgs_session", "orgs_user"}


@pytest.fixture
def person(world: World) -> User:
    return world.people["owner"]


@pytest.fixture
def staff(world: World) -> User:
    return world.people["staff"]


@pytest.fixture
def looking(staff, person) -> Client:
    """Staff who have just begun."""
    client = signed_in(staff)
    assert begin(client, person).status_code == 302
    return client


def signed_in(staff: User) -> Client:
    """With the password, because the page asks whoever gave it long ago for it again."""
    Authenticator.objects.filter(user=staff).delete()
    client = Client()
    client.post("/accounts/login/", {"login": staff.email, "password": PASSWORD})
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    Authenticator.objects.create(user=staff, type="totp", data={"secret": "unused"})
    return client


def begin(client: Client, person: User, reason: str = REASON):
    return client.post(f"/admin/impersonate/{person.pk}/", {"reason": reason})


def test_staff_see_the_persons_pages_under_a_banner_until_they_end_it(staff, person):
    looking = signed_in(staff)
    keys = [looking.session.session_key]
    begin(looking, person)
    keys.append(looking.session.session_key)

    page = looking.get("/o/own/settings/members/")
    guarded = [looking.get(path).status_code for path in OF_THE_ACCOUNT]
    ended = looking.post("/impersonation/end/")
    keys.append(looking.session.session_key)

    assert page.context["user"] == person
    assert f"You see this as {person.email}" in page.content.decode()
    assert guarded == [403, 403, 403, 302]
    assert ended["Location"] == f"/admin/orgs/user/{person.pk}/change/"
    assert looking.get("/o/own/settings/members/").status_code == 404
    assert looking.get(ended["Location"]).context["user"] == staff
    assert looking.post("/impersonation/end/")["Location"] == "/"
    assert len(set(keys)) == 3
    assert_in_the_trail(staff, person)


def assert_in_the_trail(staff: User, person: User) -> None:
    rows = AuditEntry.objects.filter(action__startswith="person.impersonation").order_by("pk")
    assert [row.action for row in rows if row.organization.slug == "own"] == [
        "person.impersonation_started",
        "person.impersonation_ended",
    ]
    assert {row.organization for row in rows} == set(person.organizations.all())
    assert {(row.actor_label, row.acting_as, row.target) for row in rows} == {
        (staff.email, staff.email, person.email)
    }
    assert {row.after["reason"] for row in rows} == {REASON}


def test_no_unsafe_request_passes_and_nothing_is_billed_bought_invited_or_issued(looking, world):
    ask = Ask(looking)
    looking.raise_request_exception = False
    before = counts()

    for route in urlconf.routes():
        rule = RULES.get(route.pattern)
        for method in [] if rule is None else set(rule.answers) - SAFE:
            if rule.who in ORGANIZATIONS | {Who.PERSON, Who.ANYONE, Who.TOKEN_OR_PERSON} and (
                route.pattern not in {"impersonation/end/", "accounts/logout/"}
            ):
                ask.expect(403, method, route, world.samples)

    assert not ask.complaints, ask.report
    assert counts() == before


def counts() -> list[int]:
    tables = (Invitation, Membership, PersonalToken, AuditEntry, User)
    return [table.objects.count() for table in tables]


def test_looking_writes_no_row_and_leaves_no_trace_of_a_visit(looking, world, person):
    looking.raise_request_exception = False
    Membership.objects.filter(user=person).update(last_active_at=None)
    written: dict[str, set[str]] = {}

    for route in urlconf.routes():
        rule = RULES.get(route.pattern)
        if rule is not None and "GET" in rule.answers and rule.who is not Who.SATELLITE:
            before = rows_written()
            with undone():
                looking.get(route.url(world.samples) + "?" + rule.query.format(**world.samples))
            after = rows_written()
            touched = {table for table in after if after[table] != before.get(table)}
            written |= {route.pattern: touched - OF_THE_SESSION} if touched - OF_THE_SESSION else {}

    assert written == {}


def test_it_ends_by_itself_with_the_right_to_it_and_with_the_session(looking, staff, person, world):
    _row, secret = tokens.issue(person, "own")
    changes = {
        "time": lambda: Impersonation.objects.update(ends_at=timezone.now()),
        "became staff": lambda: User.objects.filter(pk=person.pk).update(is_staff=True),
        "switched off": lambda: User.objects.filter(pk=person.pk).update(is_active=False),
        "no second factor": lambda: Authenticator.objects.filter(user=staff).delete(),
        "no permission": lambda: User.objects.filter(pk=staff.pk).update(is_superuser=False),
        "signed out": lambda: looking.post("/accounts/logout/"),
    }
    ends, seen = {}, {}

    for name, change in changes.items():
        cookies = deepcopy(looking.cookies)
        with undone():
            change()
            seen[name] = looking.get("/o/own/settings/members/").status_code
            ends[name] = Impersonation.objects.get().ended_at is not None
        looking.cookies = cookies

    assert set(seen.values()) == {302}
    assert all(ends.values()), ends
    assert timedelta(hours=1) >= impersonation.LASTS
    assert world.bearer(secret).get("/api/v1/billing/status").status_code == 200


@pytest.mark.django_db
def test_it_needs_a_reason_the_permission_a_password_just_given_and_somebody_who_is_not_staff():
    staff, person = UserFactory.create(is_staff=True, is_superuser=True), UserFactory.create()
    limited, stale = UserFactory.create(is_staff=True), Client()
    limited.user_permissions.add(Permission.objects.get(codename="change_user"))
    stale.force_login(staff)
    client = signed_in(staff)
    others = [UserFactory.create(is_staff=True), UserFactory.create(is_active=False), staff]

    assert begin(client, person, reason="  help   ").status_code == 422
    assert [begin(client, other).status_code for other in others] == [302, 302, 302]
    assert begin(signed_in(limited), person).status_code == 403
    assert begin(stale, person)["Location"].startswith("/accounts/reauthenticate/")
    assert not Impersonation.objects.exists()
    assert begin(client, person)["Location"] == "/"
    assert Impersonation.objects.exists()
