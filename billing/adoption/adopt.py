"""Matches the customers of an existing Stripe account to organizations, every doubt named.

A customer is adopted when one organization is meant and nothing speaks against it; a doubt is
accepted by its code, or by a line of a CSV that names both. Nothing is bought, changed or ended.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from billing import catalog
from billing.adoption import tables
from billing.adoption.tables import Row
from billing.entitlement import store
from billing.exceptions import BillingError
from billing.gateway import census
from billing.gateway.census import Resident
from billing.models import BillingAccount, PlanPrice
from billing.models.subscription import ENDED_STATUSES
from orgs import audit
from orgs.models import Membership, Organization, User

COLUMNS: Final = (
    "customer", "email", "organization", "matched_by", "subscriptions", "plans", "doubts", "result",
)  # fmt: skip
NEEDS: Final = ("customer", "organization")
# Addresses there say nothing about whom somebody works for.
_ANYBODYS: Final = frozenset(
    {
        "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com",
        "icloud.com", "me.com", "aol.com", "gmx.com", "gmx.de", "web.de", "mail.com", "proton.me",
        "protonmail.com", "yandex.com", "qq.com", "163.com", "126.com",
    }
)  # fmt: skip


class Doubt(StrEnum):
    NOBODY = "nobody"
    SEVERAL = "several"
    TAKEN = "taken"
    CONTESTED = "contested"
    OTHER_MODE = "other_mode"
    PAYS_ALREADY = "pays_already"
    BY_DOMAIN = "by_domain"
    REPLACES = "replaces"
    UNKNOWN_PRICE = "unknown_price"
    MANY_SUBSCRIPTIONS = "many_subscriptions"
    NO_SUBSCRIPTION = "no_subscription"


SENTENCES: Final[Mapping[Doubt, str]] = {
    Doubt.NOBODY: "no organization fits",
    Doubt.SEVERAL: "several organizations fit",
    Doubt.TAKEN: "another organization has this customer",
    Doubt.CONTESTED: "another customer fits the same organization",
    Doubt.OTHER_MODE: "the customer is of the other mode",
    Doubt.PAYS_ALREADY: "the organization pays by another customer already",
    Doubt.BY_DOMAIN: "only the domain of the address fits",
    Doubt.REPLACES: "the organization's own customer, which never bought, would be replaced",
    Doubt.UNKNOWN_PRICE: "a subscription pays a price that no plan of the catalogue sells",
    Doubt.MANY_SUBSCRIPTIONS: "several live subscriptions; all but the oldest would be ended",
    Doubt.NO_SUBSCRIPTION: "no live subscription",
}
# No word of a person's makes these right.
FINAL: Final = frozenset(
    {
        Doubt.NOBODY,
        Doubt.SEVERAL,
        Doubt.TAKEN,
        Doubt.CONTESTED,
        Doubt.OTHER_MODE,
        Doubt.PAYS_ALREADY,
    }
)
ACCEPTABLE: Final = tuple(doubt.value for doubt in Doubt if doubt not in FINAL)


@dataclass(kw_only=True)
class Match:
    """One customer and the organization that it seems to be."""

    resident: Resident
    organization: Organization | None = None
    by: str = ""
    plans: tuple[str, ...] = ()
    doubts: list[Doubt] = field(default_factory=list)
    done: bool = False
    result: str = ""

    @property
    def live(self) -> int:
        rows = self.resident.subscriptions
        return sum(row["status"] not in ENDED_STATUSES for row in rows)

    def stands(self, accepted: Collection[str]) -> bool:
        """Whether it may be applied: a line of a file vouches for what can be vouched for."""
        vouched = set(ACCEPTABLE) if self.by == "file" else set(accepted)
        return self.organization is not None and all(
            doubt not in FINAL and doubt in vouched for doubt in self.doubts
        )

    def as_row(self) -> dict[str, object]:
        return {
            "customer": self.resident.id,
            "email": self.resident.email,
            "organization": self.organization.slug if self.organization else "",
            "matched_by": self.by,
            "subscriptions": self.live,
            "plans": " ".join(self.plans),
            "doubts": "; ".join(f"{doubt}: {SENTENCES[doubt]}" for doubt in self.doubts),
            "result": self.result,
        }


def matches(rows: Iterable[Row] = (), *, metadata_key: str = "organization") -> list[Match]:
    """Every customer of the Stripe account, judged; nothing is changed."""
    known = _Known.of(rows, metadata_key)
    found = [_match(resident, known) for resident in census.residents()]
    by_organization: dict[UUID, list[Match]] = defaultdict(list)
    for match in found:
        if match.organization is not None and match.live:
            by_organization[match.organization.pk].append(match)
    for rivals in by_organization.values():
        if len(rivals) > 1:
            for match in rivals:
                match.doubts.append(Doubt.CONTESTED)
    return found


def apply(match: Match, accepted: Collection[str], *, actor: User | audit.Actor) -> None:
    """Once per customer; a repeated run finishes what was interrupted. `result` says what came."""
    if match.done:
        match.result = "already"
        return
    if not match.stands(accepted) or match.organization is None:
        match.result = "left alone"
        return
    try:
        account = _claim(match, match.organization, actor)
        taken_in = census.take_in(account, match.organization)
    except BillingError as error:
        match.result = f"failed, run again: {error.code}"
        return
    match.result = "adopted" if taken_in else "busy, run again"


@dataclass(frozen=True, kw_only=True)
class _Known:
    """Everything a customer may be recognized by, read once."""

    named: Mapping[str, Organization]  # by customer id, in the file
    accounts: Mapping[str, UUID]  # by customer id, in the database
    customers: Mapping[UUID, BillingAccount]
    paying: frozenset[UUID]
    by_id: Mapping[str, Organization]  # by uuid and by slug
    by_email: Mapping[str, frozenset[UUID]]
    by_domain: Mapping[str, frozenset[UUID]]
    prices: Mapping[str, str]
    metadata_key: str

    @classmethod
    def of(cls, rows: Iterable[Row], metadata_key: str) -> "_Known":
        listed = [row for row in rows if row.get("customer") and row.get("organization")]
        organizations = tables.organizations_named(row["organization"] for row in listed)
        everyone = list(Organization.objects.open())
        accounts = list(BillingAccount.objects.exclude(stripe_customer_id=None))
        emails, domains = _addresses(everyone)
        prices = PlanPrice.objects.filter(plan__catalog=catalog.current().key)
        return cls(
            named={
                row["customer"]: organizations[row["organization"]]
                for row in listed
                if row["organization"] in organizations
            },
            accounts={str(account.stripe_customer_id): account.pk for account in accounts},
            customers={account.pk: account for account in accounts},
            paying=frozenset(
                Organization.objects.filter(
                    pk__in=[account.pk for account in accounts], subscriptions__isnull=False
                ).values_list("pk", flat=True)
            ),
            by_id={
                key: organization
                for organization in everyone
                for key in (str(organization.pk), organization.slug)
            },
            by_email=emails,
            by_domain=domains,
            prices={
                str(price): plan
                for price, plan in prices.exclude(stripe_price_id=None).values_list(
                    "stripe_price_id", "plan__key"
                )
            },
            metadata_key=metadata_key,
        )


def _addresses(
    organizations: Iterable[Organization],
) -> tuple[dict[str, frozenset[UUID]], dict[str, frozenset[UUID]]]:
    """Of billing and of owners; domains of teams alone, since people move between companies."""
    emails: dict[str, set[UUID]] = defaultdict(set)
    domains: dict[str, set[UUID]] = defaultdict(set)
    for organization in organizations:
        if organization.billing_email:
            emails[organization.billing_email.lower()].add(organization.pk)
    owners = Membership.objects.filter(role="owner", organization__closed_at=None)
    for pk, email in owners.values_list("organization_id", "user__email"):
        emails[email.lower()].add(pk)
    teams = {each.pk for each in organizations if each.kind == Organization.Kind.TEAM}
    for email, found in emails.items():
        domain = email.rpartition("@")[2]
        if domain not in _ANYBODYS:
            domains[domain] |= found & teams
    return (
        {email: frozenset(found) for email, found in emails.items()},
        {domain: frozenset(found) for domain, found in domains.items() if found},
    )


# --- Whose is it? -----------------------------------------------------------------------------


def _match(resident: Resident, known: _Known) -> Match:
    match = Match(resident=resident)
    for by, look in _WAYS:
        found = look(resident, known)
        if found:
            match.by = by
            if len(found) == 1:
                match.organization = next(iter(found))
            else:
                match.doubts.append(Doubt.SEVERAL)
            break
    else:
        match.doubts.append(Doubt.NOBODY)
    _doubt(match, known)
    return match


def _in_file(resident: Resident, known: _Known) -> list[Organization]:
    found = known.named.get(resident.id)
    return [found] if found else []


def _in_database(resident: Resident, known: _Known) -> list[Organization]:
    owner = known.accounts.get(resident.id)
    found = known.by_id.get(str(owner)) if owner else None
    return [found] if found else []


def _by_metadata(resident: Resident, known: _Known) -> list[Organization]:
    found = known.by_id.get(resident.metadata.get(known.metadata_key, ""))
    return [found] if found else []


def _by_email(resident: Resident, known: _Known) -> list[Organization]:
    """Teams before the personal organization of the same person."""
    found = [known.by_id[str(pk)] for pk in known.by_email.get(resident.email, ())]
    teams = [each for each in found if each.kind == Organization.Kind.TEAM]
    return teams or found


def _by_domain(resident: Resident, known: _Known) -> list[Organization]:
    domain = resident.email.rpartition("@")[2]
    return [known.by_id[str(pk)] for pk in known.by_domain.get(domain, ())]


_Way = Callable[[Resident, _Known], list[Organization]]
_WAYS: Final[tuple[tuple[str, _Way], ...]] = (
    ("file", _in_file),
    ("account", _in_database),
    ("metadata", _by_metadata),
    ("email", _by_email),
    ("domain", _by_domain),
)


def _doubt(match: Match, known: _Known) -> None:
    resident, organization = match.resident, match.organization
    live = [row for row in resident.subscriptions if row["status"] not in ENDED_STATUSES]
    plans = [known.prices.get(row["price_id"]) for row in live]
    match.plans = tuple(plan or "?" for plan in plans)
    doubts = {
        Doubt.OTHER_MODE: resident.livemode != settings.STRIPE_LIVE_MODE,
        Doubt.BY_DOMAIN: match.by == "domain" and organization is not None,
        Doubt.UNKNOWN_PRICE: None in plans,
        Doubt.MANY_SUBSCRIPTIONS: len(live) > 1,
        Doubt.NO_SUBSCRIPTION: not live,
    }
    match.doubts += [doubt for doubt, holds in doubts.items() if holds]
    if organization is not None:
        _doubt_account(match, organization, known)


def _doubt_account(match: Match, organization: Organization, known: _Known) -> None:
    owner = known.accounts.get(match.resident.id)
    account = known.customers.get(organization.pk)
    if owner is not None and owner != organization.pk:
        match.doubts.append(Doubt.TAKEN)
    elif owner == organization.pk:
        told = match.resident.metadata.get("organization") == str(organization.pk)
        match.done = told and account is not None and account.synced_at is not None
        match.doubts = [doubt for doubt in match.doubts if doubt is not Doubt.BY_DOMAIN]
    elif organization.pk in known.paying:
        match.doubts.append(Doubt.PAYS_ALREADY)
    elif account is not None:
        match.doubts.append(Doubt.REPLACES)


# --- Ours from now on -------------------------------------------------------------------------


@transaction.atomic
def _claim(match: Match, organization: Organization, actor: User | audit.Actor) -> BillingAccount:
    account = store.lock_account(organization)
    if account.stripe_customer_id == match.resident.id:
        return account  # an interrupted run came this far
    before = account.stripe_customer_id
    account.stripe_customer_id = match.resident.id
    account.livemode = match.resident.livemode
    account.currency = match.resident.currency
    # A real customer lives by the wall's clock.
    account.test_clock_id, account.frozen_at = match.resident.test_clock, None
    account.customer_deleted_at = None
    account.save(
        update_fields=[
            "stripe_customer_id", "livemode", "currency", "test_clock_id", "frozen_at",
            "customer_deleted_at",
        ]
    )  # fmt: skip
    audit.record(
        "billing.customer_adopted",
        organization=organization,
        actor=actor,
        target=match.resident.id,
        before={"customer": before} if before else None,
        after={"customer": match.resident.id, "matched_by": match.by, "doubts": match.doubts},
    )
    return account
