"""No secret is left behind: not in rows, Redis, mails, tasks' arguments or logs (E10, E28).

Everything that handles a secret is done once, as people and services do it, the ways that fail
too. Then every place is searched for each secret. A row that must know one holds a hash, or what
`orgs.vault` closed; the links of mails are secrets that only their mail knows.
"""

import re
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from django.conf import settings
from django.core import mail
from django.core.management import call_command
from django.test import Client

from billing.messages import outbox
from orgs import members, tokens
from orgs.models import Session
from quotas import satellites
from quotas.models import NoticeEndpoint, Satellite
from quotas.notices import endpoints
from tests.architecture import canary
from tests.billing import selling, stripe_events
from tests.factories.orgs import OrganizationFactory, UserFactory, owner_of

pytestmark = pytest.mark.django_db
PASSWORD, NEW_PASSWORD = "canary in a yellow cage 1", "canary in a green cage 2"
LINK = re.compile(r"https?://[^/\s]+(/\S+)")


@pytest.fixture
def team():
    selling.put_on_sale()
    return OrganizationFactory.create(slug="canaries")


def test_no_secret_is_left_behind(
    team, redis_server, tmp_path, capsys, django_capture_on_commit_callbacks
):
    with canary.watching() as watched, django_capture_on_commit_callbacks(execute=True):
        found = {
            **of_a_person(),
            **of_an_organization(team),
            **of_a_satellite(),
            **of_the_installation(tmp_path),
        }
        use_mails(team)
    links = {path.rstrip("/").rpartition("/")[2] for path in links_of_mails()}
    capsys.readouterr()

    places = [*canary.places(), *watched.places()]
    outside = [place for place in places if not place[0].startswith("mail to ")]

    assert len(found) >= 16
    assert all(len(secret) >= 6 for secret in found.values())
    assert canary.hits(found.values(), besides=watched.places()) == []
    assert len(links) >= 3
    assert [place for place in outside if any(link in place[1] for link in links)] == []
    assert any("/invitations/[redacted]" in line for line in watched.lines)


def test_the_search_would_find_a_session_a_seed_and_a_link(team):
    session = Session.objects.create(
        session_key="the-key-of-a-browser-as-django-keeps-it",
        **dict.fromkeys(("expire_date", "began_at", "seen_at"), "2999-01-01T00:00Z"),
    )
    Authenticator.objects.create(
        user=UserFactory.create(), type="totp", data={"secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"}
    )

    hits = canary.hits([session.session_key, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"])

    assert [hit.rpartition(" in ")[2] for hit in hits] == [
        "mfa_authenticator.data",
        "orgs_session.session_key",
    ]


def of_a_person():
    """Sign-up, a wrong password, a login, a second factor, a change of the password, a key."""
    user, client = UserFactory.create(password=PASSWORD), Client()
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD + "x"})
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    before = client.session.session_key
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    seed = client.get("/accounts/2fa/totp/activate/").context["form"].secret
    client.post("/accounts/2fa/totp/activate/", {"code": code_of(seed)})
    codes = RecoveryCodes.activate(user).get_unused_codes()
    change = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    client.post("/accounts/password/change/", change)
    other = Client()
    other.post("/accounts/login/", {"login": user.email, "password": NEW_PASSWORD})
    other.post("/accounts/2fa/authenticate/", {"code": codes[0]})
    key, secret = tokens.issue(user, "canary")
    Client().get("/api/v1/billing/status", headers={"authorization": f"Bearer {secret}"})
    Client().get(f"/api/v1/billing/status?token={secret}")
    assert "_auth_user_id" in other.session
    return {
        "password": PASSWORD,
        "new password": NEW_PASSWORD,
        "seed": seed,
        "recovery codes": codes[1] + codes[2],
        "session": before,
        "another session": other.session.session_key,
        "key": secret.removeprefix(key.prefix),
    }


def of_an_organization(team):
    """A key that its owner makes on the page."""
    client = Client()
    client.force_login(owner_of(team))
    made = client.post(
        "/o/canaries/settings/api-keys/", {"name": "x", "scope": "read", "days": "30"}
    )
    assert made.status_code == 201
    return {
        "key of the page": made.context["secret"][12:],
        "session of the owner": client.session.session_key,
    }


def of_a_satellite():
    satellite = Satellite.objects.create(key="drive", name="Drive")
    token, secret = satellites.issue_token(satellite)
    endpoint, signing = endpoints.add(satellite, "https://drive.example.com/hooks")
    rotated = endpoints.rotate(NoticeEndpoint.objects.get(pk=endpoint.pk))
    for sent in (secret, secret[:-1] + "x"):
        Client().post(
            "/api/v1/usage/check",
            {"organization": "canaries", "meter": "storage"},
            content_type="application/json",
            headers={"authorization": f"Bearer {sent}"},
        )
    return {
        "service token": secret.removeprefix(token.prefix),
        "signing secret": signing.removeprefix("whsec_"),
        "rotated signing secret": rotated.removeprefix("whsec_"),
    }


def of_the_installation(tmp_path):
    """Webhooks with a good and a bad signature; a pair of keys for licences."""
    for secret in (settings.STRIPE_WEBHOOK_SECRETS[0], "whsec_another"):
        body = b'{"id": "evt_canary", "object": "event"}'
        signed = stripe_events.signature(body, secret)
        Client().post(
            "/webhooks/stripe",
            body,
            content_type="application/json",
            headers={"stripe-signature": signed},
        )
    private = tmp_path / "licence.pem"
    call_command("licence", "keygen", kid="canary-1", out=private)
    return {
        "secret key": settings.SECRET_KEY,
        "Stripe key": settings.STRIPE_SECRET_KEY,
        "webhook secret": settings.STRIPE_WEBHOOK_SECRETS[0],
        "licence key": re.findall(r"[^\n]{40,}", private.read_text())[0],
    }


def use_mails(team):
    """An invitation, a reset and a confirmation, and each of their links."""
    owner = owner_of(team)
    members.invite(team, "canary@example.com", "member", inviter=owner)
    Client().post("/accounts/password/reset/", {"email": owner.email})
    Client().post("/accounts/signup/", {"email": "another@example.com", "password1": NEW_PASSWORD})
    outbox.deliver_due()
    for path in links_of_mails():
        Client().get(path, follow=True)
        Client().post(path)


def links_of_mails():
    return {
        path
        for sent in mail.outbox
        for path in LINK.findall(str(sent.body))
        if re.search(r"/(invitations|confirm-email|key)/", path)
    }


def code_of(seed):
    return totp.format_hotp_value(totp.hotp_value(seed, int(time.time()) // 30))
