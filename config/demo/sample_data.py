"""Sample organizations on each plan, made as people make them: sign-up, Checkout, invitation mail.

Every step can be done again, so that a first start which was interrupted is continued.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from email import policy
from email.parser import BytesParser
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings

from billing import catalog
from billing.entitlement import clock, contracts, store
from billing.models import BillingAccount, Grant, PlanPrice, Source, SubscriptionPlan
from config.demo import paid_acts, usage_history
from config.demo.environment import DemoEnvironment
from config.demo.http import HttpError, post, read
from config.supervisor import NotReadyError, Supervisor
from orgs import members, organizations, tokens
from orgs.models import Membership, Organization, Role, User
from quotas import satellites
from quotas.models import Satellite

PASSWORD = "ledgerline-demo"  # noqa: S105  printed on the screen, good on this machine only
STAFF = "staff@ledgerline.example"
NAMES = ("Northwind Labs", "Blue Lantern", "Meridian Group", "Cedar Health", "Atlas Studio")
BY_THE_YEAR = "Harbour Works"
IN_ARREARS = "Juniper Foods"
MONTH_SECONDS = 31 * 24 * 3600
SEATS = 5
Login = dict[str, str]


@dataclass(frozen=True)
class Sample:
    """One team organization, its owner's address and the plan it shall be on."""

    name: str
    plan: SubscriptionPlan
    yearly: bool = False

    @property
    def slug(self) -> str:
        return self.name.lower().replace(" ", "-")

    def address(self, role: str) -> str:
        return f"{role}@{self.slug}.example"


def is_complete(demo: DemoEnvironment) -> bool:
    return demo.known.get("sample_data") == "complete"


def create(demo: DemoEnvironment, supervisor: Supervisor) -> None:
    """Needs web and worker up: plans are bought at the simulator and switched on by webhooks."""
    workshop = _Workshop(demo, supervisor)
    workshop.person(STAFF, "Sam Staff", is_staff=True, is_superuser=True)
    samples = list(_samples())
    for sample in samples:
        workshop.team(sample)
    workshop.invite(samples[0], "admin", "Ben Admin")
    workshop.invite(samples[0], "member", "Chi Member")
    workshop.usage(samples[0])
    workshop.service_token()
    workshop.team(Sample(BY_THE_YEAR, samples[0].plan, yearly=True))
    if demo.simulator_url:
        workshop.fall_into_arrears(Sample(IN_ARREARS, samples[0].plan))
    workshop.paid_acts()
    demo.remember(sample_data="complete")


def teams() -> list[Organization]:
    """The sample organizations that exist, in the order of their making."""
    names = {*NAMES, BY_THE_YEAR, IN_ARREARS}
    found = Organization.objects.open().filter(name__in=names, kind=Organization.Kind.TEAM)
    return list(found.order_by("created_at"))


def organizations_of_logins(demo: DemoEnvironment) -> list[dict[str, str]]:
    """Slug, id and plan key of each organization that a login names."""
    slugs = dict.fromkeys(login["organization"] for login in logins(demo))
    found = Organization.objects.in_bulk(list(slugs), field_name="slug")
    return [
        {"slug": slug, "id": str(found[slug].pk), "plan": store.current(found[slug]).plan.key}
        for slug in slugs
    ]


def logins(demo: DemoEnvironment) -> list[Login]:
    """Staff last: its organization is its personal one."""
    people = User.objects.filter(api_tokens__name="Demo", is_active=True).distinct()
    rows = [_login(demo, user) for user in people.order_by("date_joined")]
    order = {name: place for place, name in enumerate(("owner", "admin", "member", "system_admin"))}
    return sorted(rows, key=lambda row: (row["role"] == "system_admin", order[row["role"]]))


def service_token(demo: DemoEnvironment) -> str:
    return demo.known.get("service_token", "")


def _samples() -> Iterator[Sample]:
    """What can be bought first: the organization with the most people can show the most."""
    plans = SubscriptionPlan.objects.of_catalog(catalog.current().key).on_sale().in_order()
    for number, plan in enumerate(sorted(plans, key=_shows_little)):
        yield Sample(NAMES[number] if number < len(NAMES) else f"Sample {number}", plan)


def _shows_little(plan: SubscriptionPlan) -> tuple[bool, bool]:
    return plan.kind != SubscriptionPlan.Kind.PAID, not _is_for_teams(plan)


def _is_for_teams(plan: SubscriptionPlan) -> bool:
    return Organization.Kind.TEAM in catalog.current().plans[plan.key].audience


class _Workshop:
    def __init__(self, demo: DemoEnvironment, supervisor: Supervisor) -> None:
        self.demo, self.supervisor = demo, supervisor

    def person(self, email: str, name: str, **fields: Any) -> User:
        """Signed up, address confirmed, with a personal API token."""
        user = User.objects.filter(email=email).first()
        user = user or User.objects.create_user(email, PASSWORD, name=name, **fields)
        EmailAddress.objects.get_or_create(
            user=user, email=email, defaults={"verified": True, "primary": True}
        )
        if f"token:{email}" not in self.demo.known:
            _row, secret = tokens.issue(user, "Demo")
            self.demo.remember(**{f"token:{email}": secret})
        return user

    def team(self, sample: Sample) -> Organization:
        owner = self.person(sample.address("owner"), f"{sample.name.split()[0]} Owner")
        team = self._home(owner, sample)
        if sample.plan.kind == SubscriptionPlan.Kind.CONTRACT:
            self._sign_contract(team, sample.plan)
        elif sample.plan.kind == SubscriptionPlan.Kind.PAID and self.demo.simulator_url:
            self._buy(team, owner, sample)
        return team

    def _home(self, owner: User, sample: Sample) -> Organization:
        """Plans for individuals are on their own organization."""
        if not _is_for_teams(sample.plan):
            return organizations.create_personal(owner)
        team = Organization.objects.filter(slug=sample.slug).first()
        return team or organizations.create_team(owner, sample.name, slug=sample.slug)

    def invite(self, sample: Sample, role: str, name: str) -> None:
        """The invited person opens the link of the mail that was really sent."""
        team = Organization.objects.get(slug=sample.slug)
        address = sample.address(role)
        person = self.person(address, name)
        if team.memberships.filter(user=person).exists():
            return
        owner = User.objects.get(email=sample.address("owner"))
        members.invite(team, address, Role(role), inviter=owner)
        members.accept(
            self._await(lambda: _mailed_secret(self.demo, address), f"The mail to {address}"),
            user=person,
        )

    def usage(self, sample: Sample) -> None:
        if "usage_history" not in self.demo.known:
            usage_history.write(Organization.objects.get(slug=sample.slug))
            self.demo.remember(usage_history="written")

    def service_token(self) -> None:
        if "service_token" in self.demo.known:
            return
        satellite, _created = Satellite.objects.get_or_create(
            key="demo", defaults={"name": "Demo satellite"}
        )
        _row, secret = satellites.issue_token(satellite)
        self.demo.remember(service_token=secret)

    def fall_into_arrears(self, sample: Sample) -> None:
        """Renewed once in its own time; then the card is refused and the days of grace run."""
        team = self.team(sample)
        customer = BillingAccount.objects.get(organization=team).stripe_customer_id
        if customer is None or "arrears" in self.demo.known:
            return
        control = f"{self.demo.simulator_url}/_sim"
        for card in ("success", "insufficient_funds"):
            post(f"{control}/cards/{customer}", {"behaviour": card})
            post(f"{control}/clock/advance", {"customer": customer, "by_seconds": MONTH_SECONDS})
        self.demo.remember(arrears=customer)
        self._await(lambda: store.current(team).status == "past_due", f"The arrears of {team}")

    def paid_acts(self) -> None:
        """Where the catalogue only observes, so that its report has something to say."""
        if "paid_acts" not in self.demo.known:
            for team in filter(paid_acts.is_observed, teams()):
                paid_acts.week(team)
            self.demo.remember(paid_acts="tried")

    def _buy(self, team: Organization, owner: User, sample: Sample) -> None:
        """As in a browser: Checkout, one refused card, a good one, then the webhooks."""
        plan = sample.plan
        if store.current(team).plan.key == plan.key:
            return
        token = self.demo.known[f"token:{owner.email}"]
        wish = {"tier": plan.key, "organization": team.slug, **_terms(sample)}
        answer = post(f"{self.demo.base_url}/api/v1/billing/checkout", wish, token=token)
        session = re.search(r"cs_test_\w+", answer["checkout_url"])
        if session is None:
            raise NotReadyError(f"Checkout answered no session: {answer['checkout_url']}")
        complete = f"{self.demo.simulator_url}/_sim/checkout/{session.group()}/complete"
        if sample.yearly:
            with suppress(HttpError):
                post(complete, {"card": "insufficient_funds"})
        post(complete, {"card": "success"})
        status = f"{self.demo.base_url}/api/v1/billing/status?organization={team.slug}"
        self._await(lambda: read(status, token=token)["tier"] == plan.key, f"The plan of {team}")

    def _sign_contract(self, team: Organization, plan: SubscriptionPlan) -> None:
        if team.grants.filter(source=Source.CONTRACT).exists():
            return
        staff = User.objects.get(email=STAFF)
        now = clock.now_for(team)  # its test clock may start earlier
        terms = contracts.Terms(
            purchase_order="PO-2026-118", net_days=catalog.current().contracts.net_days[0]
        )
        Grant.objects.create(
            organization=team,
            source=Source.CONTRACT,
            plan_key=plan.key,
            reason="Signed order form of the demo",
            author=staff,
            terms=terms.as_json(),
            starts_at=now - timedelta(days=1),
            ends_at=now + timedelta(days=364),
        )
        store.rederive(team, cause="contract")

    def _await(self, look: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + 60
        while not (seen := look()):
            self.supervisor.check()
            if time.monotonic() > deadline:
                raise NotReadyError(f"{what} took too long; see {self.demo.logs}.")
            time.sleep(0.1)
        return seen


def _terms(sample: Sample) -> dict[str, Any]:
    """By the year in the last currency on sale, where there is a yearly price."""
    yearly = PlanPrice.objects.on_sale().filter(plan=sample.plan, interval="year")
    price = yearly.order_by("currency").last() if sample.yearly else None
    seats = {"seats": SEATS} if sample.plan.per_seat else {}
    return seats | ({"interval": price.interval, "currency": price.currency} if price else {})


def _login(demo: DemoEnvironment, user: User) -> Login:
    membership = (
        Membership.objects.filter(user=user)
        .select_related("organization")
        .order_by("-organization__kind")  # team before personal
        .first()
    )
    return {
        "email": user.email,
        "password": PASSWORD,
        "api_token": demo.known.get(f"token:{user.email}", ""),
        "organization": membership.organization.slug if membership else "",
        "role": "system_admin" if user.is_superuser else str(membership and membership.role),
    }


def _mailed_secret(demo: DemoEnvironment, address: str) -> str:
    """From the newest mail to this address; empty until it is there."""
    link = re.compile(rf"{re.escape(settings.SITE_URL)}/invitations/([\w-]+)/")
    for file in sorted((demo.var / "mail").glob("*.log"), reverse=True):
        with file.open("rb") as source:
            mail = BytesParser(policy=policy.default).parse(source)
        body = mail.get_body(("plain",))
        found = link.search(body.get_content()) if body and address in str(mail["To"]) else None
        if found:
            return found.group(1)
    return ""
