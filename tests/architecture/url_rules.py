"""Who may open which URL, with what, and what they get: one rule for every URL pattern.

Whoever adds a URL adds its rule here; the suite fails until they do. A rule says

- `who`: the audience (`Who`). Outsiders get a login page, or 401 from the API; whoever is not a
  member of the organization in question gets 404;
- `answers`: method → the status that somebody who may gets for `body` (or no body at all).
  A method that is not named answers 405. Those of sign-in are what somebody without a second
  factor gets;
- `reads`, `writes`: the capability that safe and unsafe methods need. A role without it gets 403;
- `when_locked`: whether unsafe methods stay open while the organization is locked for not paying;
  else they answer 403 `account_locked`. Reading always stays open;
- `stripe`: the answer needs Stripe, so the test gives it the simulator.

Scopes of personal tokens follow from the method: safe ones need `read`, unsafe ones `write`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from orgs.capabilities import Capability as May


class Who(Enum):
    """An audience, and by what it proves that it belongs to it."""

    ANYONE = "anyone, signed in or not"
    LINK = "whoever holds the mailed link"
    PERSON = "a signed-in person, about themselves (session)"
    MEMBER = "a member of the organization in the URL (session)"
    TOKEN_OR_PERSON = "a signed-in person (session or personal token)"
    CALLER = "a member of the organization that the call names (session or personal token)"
    SATELLITE = "another service of the product (service token)"
    STRIPE = "Stripe (signature)"
    STAFF = "staff with a second factor (session)"


ORGANIZATIONS = frozenset({Who.MEMBER, Who.CALLER})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True)
class Rule:
    who: Who
    answers: Mapping[str, int]
    reads: str | None = None
    writes: str | None = None
    when_locked: bool = True
    body: Mapping[str, Any] = field(default_factory=dict)
    query: str = ""
    stripe: bool = False

    def needs(self, method: str) -> str | None:
        return self.reads if method in SAFE else self.writes


def anyone(**answers: int) -> Rule:
    return Rule(who=Who.ANYONE, answers=answers)


def person(body: Mapping[str, Any] | None = None, **answers: int) -> Rule:
    return Rule(who=Who.PERSON, answers=answers, body=body or {})


def page(reads: str, *, stripe: bool = False, query: str = "") -> Rule:
    """A page of an organization that is only read."""
    return Rule(who=Who.MEMBER, answers={"GET": 200}, reads=reads, query=query, stripe=stripe)


def act(writes: str, status: int, *, when_locked: bool = False, **more: Any) -> Rule:
    """A form's target inside an organization."""
    return Rule(
        who=Who.MEMBER, answers={"POST": status}, writes=writes, when_locked=when_locked, **more
    )


def satellite(method: str, **body: Any) -> Rule:
    """A call of another service; the organization is named in the body or the path."""
    return Rule(who=Who.SATELLITE, answers={method: 200}, body=body)


def owners_call(status: int, **more: Any) -> Rule:
    """An owners' verb of the API; the world has no subscription, so most answer 409."""
    closed: dict[str, Any] = {"when_locked": False, "stripe": True}
    return Rule(
        who=Who.CALLER, answers={"POST": status}, writes=May.BILLING_MANAGE, **(closed | more)
    )


ORDER = {"tier": "pro", "interval": "month", "currency": "usd", "seats": 1}
NAMELESS = {"name": ""}
PRO = {"tier": "pro", "seats": 1}

RULES: dict[str, Rule] = {
    # Health: no secrets in the answers, so that load balancers may ask.
    "healthz": anyone(GET=200),
    "readyz": anyone(GET=200),
    "metrics": anyone(GET=404),  # without the token there is no such page
    # Stripe. Without a signature both answer 400.
    "webhooks/stripe": Rule(who=Who.STRIPE, answers={"POST": 400}),
    "api/subscriptions/webhook": Rule(who=Who.STRIPE, answers={"POST": 400}),
    # The API for owners and their scripts.
    "api/v1/billing/status": Rule(who=Who.CALLER, answers={"GET": 200}, reads=May.STATUS_VIEW),
    "api/v1/billing/plans": Rule(who=Who.TOKEN_OR_PERSON, answers={"GET": 200}),
    "api/v1/billing/checkout": Rule(
        who=Who.CALLER,
        answers={"POST": 200},
        writes=May.BILLING_MANAGE,
        body=PRO,
        stripe=True,
        when_locked=False,
    ),
    "api/subscriptions/upgrade": Rule(
        who=Who.CALLER,
        answers={"POST": 200},
        writes=May.BILLING_MANAGE,
        body=PRO,
        stripe=True,
        when_locked=False,
    ),
    "api/v1/billing/preview": owners_call(409, when_locked=True),
    "api/v1/billing/change": owners_call(409),
    "api/v1/billing/cancel": owners_call(409, when_locked=True),
    "api/v1/billing/keep": owners_call(409),
    "api/v1/billing/promo": owners_call(409, body={"code": "LAUNCH20"}),
    "api/v1/billing/trial": owners_call(200, body={"tier": "pro"}),
    "api/v1/billing/packs": Rule(who=Who.CALLER, answers={"GET": 200}, reads=May.BILLING_VIEW),
    "api/v1/billing/sync": owners_call(200, when_locked=True),
    "api/v1/billing/portal": Rule(
        who=Who.CALLER, answers={"POST": 200}, writes=May.BILLING_MANAGE, stripe=True
    ),
    "api/v1/billing/credits": owners_call(200, body={"pack": "ai_10k"}),
    "api/v1/billing/invoices": Rule(who=Who.CALLER, answers={"GET": 200}, reads=May.BILLING_VIEW),
    # Everything that an organization owns. A download is an act: the audit trail records it.
    "api/v1/export": Rule(
        who=Who.CALLER,
        answers={"GET": 200, "POST": 202},
        reads=May.ORGANIZATION_EXPORT,
        writes=May.ORGANIZATION_EXPORT,
    ),
    "api/v1/export/download": Rule(
        who=Who.CALLER, answers={"POST": 404}, writes=May.ORGANIZATION_EXPORT
    ),
    "api/subscriptions/usage": Rule(who=Who.CALLER, answers={"GET": 200}, reads=May.USAGE_VIEW_OWN),
    # The API for satellites: scopes of the token decide, for meters and for organizations.
    "api/v1/usage/check": satellite("POST", meter="ai_queries", amount=1),
    "api/v1/usage/authorize": satellite("POST", meter="ai_queries", amount=1),
    "api/v1/usage/consume": satellite("POST", meter="ai_queries", amount=1, idempotency_key="a"),
    "api/v1/usage/record": satellite("POST", meter="ai_queries", amount=1, idempotency_key="b"),
    "api/v1/usage/release": satellite("POST", idempotency_key="sample"),
    "api/v1/usage/level": satellite(
        "PUT", meter="storage", value=1, observed_at="2026-11-20T00:00:00Z"
    ),
    "api/v1/usage/reservations": satellite(
        "POST", meter="ai_queries", amount=1, idempotency_key="c"
    ),
    "api/v1/usage/reservations/<str:reservation>/commit": satellite("POST", amount=1),
    "api/v1/usage/reservations/<str:reservation>/void": satellite("POST"),
    "api/v1/usage/batch": satellite(
        "POST", events=[{"meter": "ai_queries", "idempotency_key": "d"}]
    ),
    "api/v1/organizations/<str:organization>/entitlements": satellite("GET"),
    "api/v1/organizations/<str:organization>/features/<str:feature>": satellite("GET"),
    "api/v1/organizations/<str:organization>/usage": satellite("GET"),
    # The reference is the same on every installation and names no organization.
    "api/schema/": anyone(GET=200),
    "api/docs/": anyone(GET=200),
    # Sign-in (django-allauth).
    "accounts/login/": anyone(GET=200, POST=200),
    "accounts/login/code/confirm/": anyone(GET=302, POST=302),
    "accounts/logout/": person(GET=200, POST=302),
    "accounts/inactive/": anyone(GET=200),
    "accounts/signup/": anyone(GET=200, POST=200),
    "accounts/confirm-email/": anyone(GET=200),
    "accounts/^confirm-email/(?P<key>[-:\\w]+)/$": anyone(GET=200, POST=404),
    "accounts/password/reset/": anyone(GET=200, POST=200),
    "accounts/password/reset/done/": anyone(GET=200),
    "accounts/password/reset/key/done/": anyone(GET=200),
    "accounts/^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$": anyone(
        GET=200, POST=200
    ),
    "accounts/2fa/authenticate/": anyone(GET=302, POST=302),
    "accounts/reauthenticate/": person(GET=200, POST=200),
    "accounts/sessions/": person(GET=200, POST=302),
    "accounts/email/": person(GET=200, POST=302),
    "accounts/password/change/": person(GET=200, POST=200),
    "accounts/password/set/": person(GET=302, POST=302),
    "accounts/2fa/": person(GET=200),
    "accounts/2fa/reauthenticate/": person(GET=302, POST=302),
    "accounts/2fa/totp/activate/": person(GET=302, POST=302),
    "accounts/2fa/totp/deactivate/": person(GET=404, POST=404),
    "accounts/2fa/recovery-codes/": person(GET=404),
    "accounts/2fa/recovery-codes/generate/": person(GET=302, POST=302),
    "accounts/2fa/recovery-codes/download/": person(GET=404),
    # A person's own pages.
    "": person(GET=302),
    "preferences/language/": anyone(GET=302, POST=302),
    "preferences/theme/": anyone(POST=302),
    "organizations/new/": person(body=NAMELESS, GET=200, POST=422),
    "profile/": person(body=NAMELESS, GET=200, POST=422),
    "profile/delete/": person(POST=422),
    "settings/billing/": person(GET=302),
    "impersonation/end/": person(POST=302),
    # Invitations: the link is the secret; accepting needs the login that it was mailed to.
    "invitations/<str:token>/": Rule(who=Who.LINK, answers={"GET": 200}),
    "invitations/<str:token>/sign-up/": Rule(who=Who.LINK, answers={"POST": 302}),
    "invitations/<str:token>/accept/": person(POST=302),
    "invitations/<str:token>/decline/": person(POST=302),
    # An organization's money. Everything that leads to paying stays open while locked.
    "o/<slug:slug>/settings/billing/": page(May.BILLING_VIEW),
    "o/<slug:slug>/settings/billing/plans/": page(May.BILLING_VIEW),
    "o/<slug:slug>/settings/billing/why/": page(May.BILLING_VIEW),
    "o/<slug:slug>/settings/pricing/": page(May.BILLING_VIEW),
    "o/<slug:slug>/settings/billing/invoices.csv": page(May.BILLING_VIEW),
    "o/<slug:slug>/settings/billing/checkout/": act(
        May.BILLING_MANAGE, 303, body=ORDER, stripe=True, when_locked=True
    ),
    "o/<slug:slug>/settings/billing/change/": Rule(
        who=Who.MEMBER,
        answers={"GET": 303, "POST": 303},
        reads=May.BILLING_MANAGE,
        writes=May.BILLING_MANAGE,
        when_locked=False,
        stripe=True,
    ),
    "o/<slug:slug>/settings/billing/keep/": act(May.BILLING_MANAGE, 303),
    "o/<slug:slug>/settings/billing/cancel/": Rule(
        who=Who.MEMBER,
        answers={"GET": 303, "POST": 303},
        reads=May.BILLING_MANAGE,
        writes=May.BILLING_MANAGE,
        stripe=True,
    ),
    "o/<slug:slug>/settings/billing/promo/": act(May.BILLING_MANAGE, 303, stripe=True),
    "o/<slug:slug>/settings/billing/credits/": act(
        May.BILLING_MANAGE, 303, body={"pack": "ai_10k"}, stripe=True
    ),
    "o/<slug:slug>/settings/billing/credits/return/": Rule(
        who=Who.MEMBER, answers={"GET": 303}, reads=May.BILLING_MANAGE
    ),
    "o/<slug:slug>/settings/billing/trial/": act(May.BILLING_MANAGE, 303, body={"tier": "pro"}),
    "o/<slug:slug>/settings/billing/notify-owner/": act(
        May.ORGANIZATION_VIEW, 303, when_locked=True
    ),
    "o/<slug:slug>/settings/billing/portal/": act(
        May.BILLING_MANAGE, 303, stripe=True, when_locked=True
    ),
    "o/<slug:slug>/settings/billing/email/": act(May.BILLING_MANAGE, 303, when_locked=True),
    "o/<slug:slug>/settings/billing/resume/": act(May.BILLING_MANAGE, 303),
    "o/<slug:slug>/settings/billing/sync/": act(
        May.BILLING_MANAGE, 303, stripe=True, when_locked=True
    ),
    "o/<slug:slug>/settings/billing/return/": page(
        May.BILLING_MANAGE, stripe=True, query="session_id={session_id}"
    ),
    "o/<slug:slug>/settings/billing/return/state/": page(
        May.BILLING_MANAGE, stripe=True, query="session_id={session_id}"
    ),
    # An organization's usage. What somebody may not see of others is left out of the page.
    "o/<slug:slug>/settings/usage/": page(May.USAGE_VIEW_OWN),
    "o/<slug:slug>/settings/usage/meters/": page(May.USAGE_VIEW_OWN),
    "o/<slug:slug>/settings/usage.csv": page(May.USAGE_VIEW_OWN),
    "o/<slug:slug>/settings/usage/overage/": act(May.USAGE_MANAGE, 302),
    "o/<slug:slug>/settings/usage/alerts/": act(May.USAGE_MANAGE, 302),
    # An organization's people. Who is locked may still leave, remove, withdraw and close.
    "o/<slug:slug>/": Rule(who=Who.MEMBER, answers={"GET": 302}, reads=May.ORGANIZATION_VIEW),
    "o/<slug:slug>/switch/": act(May.ORGANIZATION_VIEW, 302, when_locked=True),
    "o/<slug:slug>/leave/": act(May.ORGANIZATION_VIEW, 302, when_locked=True),
    "o/<slug:slug>/settings/general/": page(May.ORGANIZATION_VIEW),
    "o/<slug:slug>/settings/general/describe/": act(May.ORGANIZATION_MANAGE, 422),
    "o/<slug:slug>/settings/general/slug/": act(May.ORGANIZATION_MANAGE, 422),
    "o/<slug:slug>/settings/general/close/": act(May.ORGANIZATION_CLOSE, 422, when_locked=True),
    "o/<slug:slug>/settings/data/": page(May.ORGANIZATION_EXPORT),
    "o/<slug:slug>/settings/data/export/": act(May.ORGANIZATION_EXPORT, 302, when_locked=True),
    "o/<slug:slug>/settings/data/export/state/": page(May.ORGANIZATION_EXPORT),
    "o/<slug:slug>/settings/data/export/download/": act(
        May.ORGANIZATION_EXPORT, 302, when_locked=True
    ),
    "o/<slug:slug>/settings/data/delete/": act(May.ORGANIZATION_CLOSE, 422, when_locked=True),
    "o/<slug:slug>/settings/data/keep/": act(May.ORGANIZATION_CLOSE, 302, when_locked=True),
    "o/<slug:slug>/settings/members/": page(May.MEMBERS_VIEW),
    "o/<slug:slug>/settings/members/invite/": act(May.MEMBERS_MANAGE, 422),
    "o/<slug:slug>/settings/members/hand-over/": act(May.OWNERSHIP_TRANSFER, 302, when_locked=True),
    "o/<slug:slug>/settings/members/<uuid:membership_id>/role/": act(May.MEMBERS_MANAGE, 302),
    "o/<slug:slug>/settings/members/<uuid:membership_id>/remove/": act(
        May.MEMBERS_MANAGE, 302, when_locked=True
    ),
    "o/<slug:slug>/settings/invitations/<uuid:invitation_id>/resend/": act(May.MEMBERS_MANAGE, 302),
    "o/<slug:slug>/settings/invitations/<uuid:invitation_id>/revoke/": act(
        May.MEMBERS_MANAGE, 302, when_locked=True
    ),
    "o/<slug:slug>/settings/api-keys/": Rule(
        who=Who.MEMBER,
        answers={"GET": 200, "POST": 422},
        reads=May.API_KEYS_MANAGE,
        writes=May.API_KEYS_MANAGE,
        when_locked=False,
    ),
    "o/<slug:slug>/settings/api-keys/<int:token_id>/revoke/": act(
        May.API_KEYS_MANAGE, 302, when_locked=True
    ),
    "o/<slug:slug>/settings/audit/": page(May.AUDIT_VIEW),
    "o/<slug:slug>/settings/audit.csv": page(May.AUDIT_VIEW),
}

# Hundreds of patterns with one rule: Django's admin. Its own permissions say which model.
FAMILIES: dict[str, Rule] = {
    "admin/": Rule(who=Who.STAFF, answers={"GET": 200}),
}


def rules_of(pattern: str) -> list[Rule]:
    """All rules that claim a pattern; there must be exactly one."""
    exact = [RULES[pattern]] if pattern in RULES else []
    return exact + [rule for prefix, rule in FAMILIES.items() if pattern.startswith(prefix)]
