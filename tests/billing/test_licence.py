"""Licences: what they give, what they never give, and that none of them can do harm."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from billing import catalog, tasks
from billing.catalog.apply import apply
from billing.entitlement import store
from billing.entitlement.resolution import resolve
from billing.entitlement.verdict import Facts, GrantFact, LicenceFact, PlanRef, Policy
from billing.licence import standing, token
from billing.licence.judgement import State
from billing.licence.token import Licence
from billing.models import Access, Installation, Source
from tests.factories.orgs import OrganizationFactory

DAY = timedelta(days=1)
KID = "2026-11"
VENDOR = Ed25519PrivateKey.generate()
STRANGER = Ed25519PrivateKey.generate()


def public_line(kid, key):
    return f'"{kid}" = "{base64.b64encode(key.public_key().public_bytes_raw()).decode()}"\n'


@pytest.fixture
def installation(db, settings, monkeypatch, tmp_path):
    """Document 000's product, self-hosted: a licence is needed, and Stripe is not connected."""
    settings.CATALOG = "sessions"
    settings.LICENCE_PUBLIC_KEYS = tmp_path / "public_keys.toml"
    settings.LICENCE_PUBLIC_KEYS.write_text(public_line(KID, VENDOR))
    monkeypatch.setenv("LICENCE_REQUIRED", "true")
    monkeypatch.setenv("STRIPE_SECRET_KEY", "")
    apply(catalog.current(), None, {})
    return standing.installation()


@pytest.fixture
def organization(installation):
    return OrganizationFactory.create()


def licence(**changes):
    now = timezone.now()
    terms: dict[str, Any] = {
        "id": "lic_1",
        "holder": "Hạ Long Studio",
        "instance": str(standing.installation().instance),
        "catalog": "sessions",
        "plan": "team",
        "seats": 25,
        "issued_at": now - DAY,
        "starts_at": now - DAY,
        "ends_at": now + 30 * DAY,
    }
    return Licence(**terms | changes)


def written(key=VENDOR, kid=KID, **changes):
    return token.sign(licence(**changes), kid, key)


def plan_of(organization):
    return store.rederive(organization, cause="test").plan.key


def test_without_a_licence_everybody_is_on_the_free_plan_and_beta_stays_off(organization):
    effective = store.rederive(organization, cause="test")

    assert (effective.plan.key, effective.source, effective.is_beta) == ("free", "default", False)


def test_the_licence_determines_the_tier(organization, settings):
    settings.LICENCE_KEY = written()

    effective = store.rederive(organization, cause="test")

    assert (effective.plan.key, effective.source, effective.seats) == ("team", "licence", 25)
    assert effective.valid_until == effective.ends_at


def test_no_source_rises_above_the_licence(organization, settings):
    organization.grants.create(
        source=Source.SITE_OWNER, plan_key="enterprise", seats=90, reason="x"
    )
    settings.LICENCE_KEY = written(plan="pro", seats=5)

    effective = store.rederive(organization, cause="test")

    assert (effective.plan.key, effective.source, effective.seats) == ("pro", "licence", 5)
    settings.LICENCE_KEY = ""
    assert plan_of(organization) == "free"


def test_a_plan_below_the_licence_stays_what_it_is(organization, settings):
    organization.grants.create(source=Source.SITE_OWNER, plan_key="starter", reason="x")
    settings.LICENCE_KEY = written()

    effective = store.rederive(organization, cause="test")

    assert (effective.plan.key, effective.source) == ("starter", "site_owner")


def test_after_its_end_a_licence_lasts_for_the_days_of_grace(organization, settings):
    settings.LICENCE_KEY = written(ends_at=timezone.now() - DAY)
    assert standing.at(timezone.now()).state is State.GRACE
    assert plan_of(organization) == "team"

    settings.LICENCE_KEY = written(ends_at=timezone.now() - 15 * DAY)

    assert standing.at(timezone.now()).state is State.EXPIRED
    assert plan_of(organization) == "free"


def test_a_renewed_key_is_believed_beside_the_old_one(organization, settings):
    keys = settings.LICENCE_PUBLIC_KEYS
    keys.write_text(public_line(KID, VENDOR) + public_line("2027-01", STRANGER))

    settings.LICENCE_KEY = written(STRANGER, "2027-01")
    assert plan_of(organization) == "team"
    settings.LICENCE_KEY = written()
    assert plan_of(organization) == "team"
    keys.write_text(public_line("2027-01", STRANGER))
    assert plan_of(organization) == "free"


# --- Attacks ----------------------------------------------------------------------------------


def encoded(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def rewritten(**header):
    """The real payload under another header, with the signature that this header asks for."""
    good_header, payload, signature = written().split(".")
    changed = json.loads(base64.urlsafe_b64decode(good_header + "==")) | header
    return f"{encoded(changed)}.{payload}.{signature}"


def signed_all_the_same(**header):
    """By the vendor's own key, so that only the header's own check can refuse it."""
    head, payload, _signature = rewritten(**header).split(".")
    return f"{head}.{payload}.{encoded(VENDOR.sign(f'{head}.{payload}'.encode()))}"


def hs256_with_the_public_key():
    head = encoded({"alg": "HS256", "kid": KID, "typ": token.TYPE})
    signed = f"{head}.{written().split('.')[1]}"
    public = VENDOR.public_key().public_bytes_raw()
    return f"{signed}.{encoded(hmac.digest(public, signed.encode(), hashlib.sha256))}"


def eddsa_header_with_an_hmac():
    head, payload, _signature = written().split(".")
    public = VENDOR.public_key().public_bytes_raw()
    return (
        f"{head}.{payload}.{encoded(hmac.digest(public, f'{head}.{payload}'.encode(), 'sha512'))}"
    )


def with_claims(**claims):
    """Signed by the vendor's own key: the claims themselves are wrong."""
    head, payload, _signature = written().split(".")
    changed = json.loads(base64.urlsafe_b64decode(payload + "==")) | claims
    signed = f"{head}.{encoded(changed)}"
    return f"{signed}.{encoded(VENDOR.sign(signed.encode()))}"


def with_doubled_claim():
    head, payload, _signature = written().split(".")
    raw = base64.urlsafe_b64decode(payload + "==")[:-1] + b',"plan":"enterprise"}'
    signed = f"{head}.{encoded(raw)}"
    return f"{signed}.{encoded(VENDOR.sign(signed.encode()))}"


def swapped_payload():
    head, _payload, signature = written().split(".")
    return f"{head}.{written(plan='enterprise').split('.')[1]}.{signature}"


ATTACKS = {
    "nothing": lambda: "",
    "forged by a stranger": lambda: written(STRANGER),
    "another kid": lambda: written(STRANGER, "2099-01"),
    "kid that is a path": lambda: rewritten(kid="../../etc/passwd"),
    "kid that is a list": lambda: rewritten(kid=[KID]),
    "alg none": lambda: rewritten(alg="none"),
    "alg none, unsigned": lambda: rewritten(alg="none").rpartition(".")[0] + ".",
    "alg NONE": lambda: rewritten(alg="NONE"),
    "alg missing": lambda: rewritten(alg=None),
    "HS256 over the public key": hs256_with_the_public_key,
    "EdDSA header over an HMAC": eddsa_header_with_an_hmac,
    "an embedded key": lambda: rewritten(jwk={"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
    "alg none, well signed": lambda: signed_all_the_same(alg="none"),
    "HS256, well signed": lambda: signed_all_the_same(alg="HS256"),
    "an extra header, well signed": lambda: signed_all_the_same(crit=["exp"]),
    "another typ": lambda: rewritten(typ="JWT"),
    "payload of another licence": swapped_payload,
    "a doubled claim": with_doubled_claim,
    "another audience": lambda: with_claims(aud="session"),
    "another instance": lambda: written(instance=str(uuid4())),
    "an empty instance": lambda: with_claims(instance=""),
    "any instance": lambda: with_claims(instance="*"),
    "another product": lambda: written(catalog="suite"),
    "a plan that is not sold": lambda: written(plan="titanium"),
    "not begun": lambda: written(starts_at=timezone.now() + DAY),
    "ended": lambda: written(ends_at=timezone.now() - 15 * DAY),
    "issued tomorrow, so the clock is wrong": lambda: written(issued_at=timezone.now() + 3 * DAY),
    "no end": lambda: with_claims(exp=None),
    "an end that is true": lambda: with_claims(exp=True),
    "an end in words": lambda: with_claims(exp="never"),
    "an endless end": lambda: with_claims(exp=10**400),
    "NaN seats": lambda: with_claims(seats=float("nan")),
    "minus one seat": lambda: with_claims(seats=-1),
    "truncated": lambda: written()[:-5],
    "half": lambda: written()[: len(written()) // 2],
    "one character more": lambda: written() + "A",
    "padding": lambda: written() + "==",
    "an empty signature": lambda: written().rpartition(".")[0] + ".",
    "four parts": lambda: written() + ".e30",
    "deep nesting": lambda: encoded(b"[" * 4000) + ".e30.e30",
    "10 MB": lambda: "A" * 10_000_000,
    "not ASCII": lambda: "Ð" + written()[1:],
    "a null byte": lambda: "\0" + written(),
}


def test_no_attack_unlocks_or_crashes_anything(organization, settings):
    unlocked = []
    for attack, forge in ATTACKS.items():
        settings.LICENCE_KEY = forge()
        if standing.at(timezone.now()).is_usable or plan_of(organization) != "free":
            unlocked.append(attack)
        tasks.check_licence_at_start()

    assert unlocked == []
    assert len(ATTACKS) == 43


FILES = {
    "empty": b"",
    "binary": b"\xff\xfe\x00\x01" * 500,
    "10 MB": b"A" * 10_000_000,
    "blank lines": b"\n" * 9000,
    "latin-1": "½".encode("latin-1"),
}


def test_no_file_unlocks_or_crashes_anything(organization, settings, tmp_path):
    settings.LICENCE_FILE = str(tmp_path / "licence")
    for content in FILES.values():
        (tmp_path / "licence").write_bytes(content)

        assert not standing.at(timezone.now()).is_usable
        assert plan_of(organization) == "free"


def test_a_good_file_counts_and_a_missing_one_or_a_directory_is_none(
    organization, settings, tmp_path
):
    settings.LICENCE_FILE = str(tmp_path)
    assert plan_of(organization) == "free"
    settings.LICENCE_FILE = str(tmp_path / "licence")
    assert plan_of(organization) == "free"
    (tmp_path / "licence").write_text(written() + "\n")
    assert plan_of(organization) == "team"


def test_unreadable_keys_believe_nobody(organization, settings):
    settings.LICENCE_KEY = written()
    for keys in ("", "no toml", '"2026-11" = "AA=="', '"2026-11" = 7'):
        settings.LICENCE_PUBLIC_KEYS.write_text(keys)

        assert plan_of(organization) == "free"


def test_a_clock_that_is_turned_back_revives_no_licence(organization, settings):
    """A month later by the rows that it left; an hour back is only a corrected clock (F3)."""
    settings.LICENCE_KEY = written()
    later = timezone.now() + 25 * DAY
    Installation.objects.update(latest=later)

    assert standing.at(timezone.now()).state is State.CLOCK_ROLLED_BACK
    assert plan_of(organization) == "free"
    assert standing.at(later - timedelta(hours=1)).state is State.VALID
    assert Installation.objects.get().latest == later


def test_time_that_was_seen_counts_even_where_the_clock_is_a_little_behind(installation, settings):
    end = timezone.now() - 14 * DAY + timedelta(hours=2)
    settings.LICENCE_KEY = written(ends_at=end)
    assert standing.at(timezone.now()).state is State.GRACE

    Installation.objects.update(latest=timezone.now() + timedelta(hours=3))

    assert standing.at(timezone.now()).state is State.EXPIRED


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_garbage_is_refused_and_nothing_else(garbage):
    text = garbage.decode("latin-1") if isinstance(garbage, bytes) else garbage
    with pytest.raises(token.LicenceRefused):
        token.verify(text, {KID: VENDOR.public_key()})


def test_any_changed_character_breaks_the_licence():
    now = datetime(2026, 11, 20, tzinfo=UTC)
    good = token.sign(
        Licence(
            id="1", holder="h", instance="i", catalog="c", plan="p", seats=None,
            issued_at=now, starts_at=now, ends_at=now + DAY,
        ),
        KID,
        VENDOR,
    )  # fmt: skip
    assert token.verify(good, {KID: VENDOR.public_key()}).plan == "p"
    for place, character in enumerate(good):
        other = "B" if character != "B" else "C"
        with pytest.raises(token.LicenceRefused):
            token.verify(good[:place] + other + good[place + 1 :], {KID: VENDOR.public_key()})


# --- The vendor's and the operator's side -----------------------------------------------------


def run(*arguments):
    out = StringIO()
    call_command("licence", *arguments, stdout=out)
    return out.getvalue().strip()


def test_what_the_vendor_issues_the_installation_believes(organization, settings, tmp_path):
    key = tmp_path / "vendor.pem"
    line = run("keygen", "--kid", "2027-01", "--out", str(key))
    assert key.stat().st_mode & 0o077 == 0
    with pytest.raises(CommandError):
        run("keygen", "--kid", "2027-01", "--out", str(key))
    settings.LICENCE_PUBLIC_KEYS.write_text(line)
    instance = str(standing.installation().instance)

    settings.LICENCE_KEY = run(
        "issue", "--kid", "2027-01", "--key", str(key), "--instance", instance,
        "--plan", "pro", "--holder", "Hạ Long", "--seats", "3", "--days", "30",
    )  # fmt: skip

    shown = json.loads(run("show", "--json"))
    assert (shown["state"], shown["plan"], shown["seats"]) == ("valid", "pro", 3)
    assert plan_of(organization) == "pro"
    settings.LICENCE_KEY = ""
    with pytest.raises(SystemExit):
        run("show")


def test_a_change_is_noticed_once_and_every_verdict_follows(organization, settings, monkeypatch):
    settings.LICENCE_KEY = written()
    asked = []
    monkeypatch.setattr(tasks.refresh_entitlements, "delay", lambda: asked.append(1))

    tasks.check_licence()
    tasks.check_licence()
    settings.LICENCE_KEY = ""
    tasks.check_licence()

    assert len(asked) == 2


def test_staff_see_the_licence_and_no_part_of_its_text(installation, settings, admin_client):
    settings.ADMIN_REQUIRES_MFA = False
    settings.LICENCE_KEY = written()

    page = admin_client.get("/admin/billing/installation/").content.decode()

    assert str(installation.instance) in page
    assert "The licence is valid." in page
    assert settings.LICENCE_KEY[:40] not in page
    assert admin_client.post("/admin/billing/installation/").status_code == 302
    assert Installation.objects.get().licence_state == "valid"


def test_where_none_is_required_a_licence_changes_nothing(organization, settings, monkeypatch):
    monkeypatch.setenv("LICENCE_REQUIRED", "")
    settings.LICENCE_KEY = written(plan="enterprise")

    assert store.rederive(organization, cause="test").source == "beta"


# --- The pure rule ----------------------------------------------------------------------------

NOW = datetime(2026, 11, 20, tzinfo=UTC)
LADDER = ("free", "starter", "pro", "team")
REFS = [PlanRef(key=key, version=1) for key in (*LADDER, "titanium")]
POLICY = Policy(
    default_plan=REFS[0],
    status_grants={"active": "full"},
    grace=3 * DAY,
    access_during_grace=Access.FULL,
    at_end="lock",
    beta=True,
    ladder=LADDER,
)
INSTANTS = st.sampled_from([NOW - 2 * DAY, NOW - DAY, NOW, NOW + DAY])
LICENCES = st.builds(
    LicenceFact,
    plan=st.none() | st.sampled_from(REFS),
    seats=st.none() | st.integers(1, 9),
    starts_at=st.none() | INSTANTS,
    ends_at=st.none() | INSTANTS,
    refusal=st.sampled_from(["", "invalid", "clock_rolled_back"]),
)
GRANTS = st.builds(
    GrantFact,
    id=st.integers(1, 9),
    source=st.sampled_from([Source.SITE_OWNER, Source.CONTRACT, Source.PILOT, Source.TRIAL]),
    plan=st.sampled_from(REFS),
    seats=st.none() | st.integers(1, 99),
    starts_at=INSTANTS,
    ends_at=st.none() | INSTANTS,
)


@given(LICENCES, st.lists(GRANTS, max_size=3), st.booleans())
def test_whatever_is_granted_nothing_rises_above_the_licence(licence, grants, configured):
    facts = Facts(licence=licence, grants=tuple(grants), configured=configured)

    verdict = resolve(facts, POLICY, NOW)

    counts = (
        licence.plan is not None
        and licence.plan.key in LADDER
        and not licence.refusal
        and licence.starts_at is not None
        and licence.starts_at <= NOW
        and licence.ends_at is not None
        and licence.ends_at > NOW
    )
    most = licence.plan.key if counts else "free"
    assert LADDER.index(verdict.plan.key) <= LADDER.index(most)
    assert not verdict.is_beta
    if counts and licence.seats is not None:
        assert verdict.seats <= licence.seats
