"""A licence as it is written, read and judged; no clock, no database.

What a token may look like is a contract with every installation that was ever sold, so it is
spelled out here and not built by the code that reads it.
"""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from billing.licence import token
from billing.licence.judgement import Home, Standing, State, judge
from billing.licence.token import Licence, LicenceRefused

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
KID = "2026-11"
VENDOR = Ed25519PrivateKey.generate()
KEYS = {KID: VENDOR.public_key()}
HOME = Home(
    instance="here",
    catalog="shop",
    plans=frozenset({"free", "pro"}),
    grace=14 * DAY,
    latest=NOW - DAY,
)
LICENCE = Licence(
    id="lic_1",
    holder="Hạ Long",
    instance="here",
    catalog="shop",
    plan="pro",
    seats=25,
    issued_at=NOW - 2 * DAY,
    starts_at=NOW - DAY,
    ends_at=NOW + 30 * DAY,
)
HEADER = {"alg": "EdDSA", "kid": KID, "typ": "ledgerline-licence"}
CLAIMS = {
    "aud": "ledgerline-licence",
    "jti": "lic_1",
    "sub": "Hạ Long",
    "instance": "here",
    "catalog": "shop",
    "plan": "pro",
    "seats": 25,
    "iat": int((NOW - 2 * DAY).timestamp()),
    "nbf": int((NOW - DAY).timestamp()),
    "exp": int((NOW + 30 * DAY).timestamp()),
}


def coded(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header, claims):
    """By the vendor's own key: whatever is refused is refused for what it says."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode()
             for part in (header, claims)]  # fmt: skip
    text = ".".join(map(coded, parts))
    return f"{text}.{coded(VENDOR.sign(text.encode()))}"


def refusal(written, keys=KEYS):
    with pytest.raises(LicenceRefused) as refused:
        token.verify(written, keys)
    assert str(refused.value) == refused.value.code
    return refused.value.code


def test_what_is_signed_is_compact_json_of_exactly_these_claims():
    head, payload, signature = token.sign(LICENCE, KID, VENDOR).split(".")

    def written(part):
        return base64.urlsafe_b64decode(part + "==").decode("ascii")

    assert written(head) == json.dumps(HEADER, separators=(",", ":"))
    assert written(payload) == json.dumps(CLAIMS, separators=(",", ":"))
    VENDOR.public_key().verify(
        base64.urlsafe_b64decode(signature + "=="), f"{head}.{payload}".encode()
    )


def test_what_was_signed_is_read_as_it_was_meant():
    assert token.verify(signed(HEADER, CLAIMS), KEYS) == replace(LICENCE, kid=KID)
    endless = CLAIMS | {"seats": None, "exp": 32_503_680_000, "nbf": 0}
    read = token.verify(signed(HEADER, endless), KEYS)
    assert (read.seats, read.ends_at.year, read.starts_at.year) == (None, 3000, 1970)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"typ": "JWT"}, "malformed"),
        ({"crit": ["exp"]}, "malformed"),
        ({"alg": "none"}, "algorithm"),
        ({"alg": "HS256"}, "algorithm"),
        ({"kid": "2099-01"}, "unknown_key"),
        ({"kid": [KID]}, "unknown_key"),
        ({"kid": None}, "unknown_key"),
    ],
)
def test_a_header_that_is_not_ours_is_refused_even_when_it_is_well_signed(change, code):
    assert refusal(signed(HEADER | change, CLAIMS)) == code


@pytest.mark.parametrize("missing", HEADER)
def test_a_header_without_one_of_its_words_is_refused(missing):
    header = {name: value for name, value in HEADER.items() if name != missing}

    assert refusal(signed(header, CLAIMS)) == "malformed"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"aud": "session"}, "audience"),
        ({"seats": 0}, "malformed"),
        ({"seats": -1}, "malformed"),
        ({"seats": 10**6 + 1}, "malformed"),
        ({"seats": True}, "malformed"),
        ({"seats": 2.0}, "malformed"),
        ({"plan": ""}, "malformed"),
        ({"plan": 7}, "malformed"),
        ({"plan": "p\0ro"}, "malformed"),
        ({"exp": -1}, "malformed"),
        ({"exp": 32_503_680_001}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": "never"}, "malformed"),
    ],
)
def test_a_claim_that_cannot_be_meant_is_refused(change, code):
    assert refusal(signed(HEADER, CLAIMS | change)) == code


@pytest.mark.parametrize("missing", CLAIMS)
def test_a_licence_without_one_of_its_claims_is_refused(missing):
    claims = {name: value for name, value in CLAIMS.items() if name != missing}

    assert refusal(signed(HEADER, claims)) == "malformed"


@pytest.mark.parametrize("seats", [1, 10**6])
def test_the_fewest_and_the_most_seats_are_believed(seats):
    assert token.verify(signed(HEADER, CLAIMS | {"seats": seats}), KEYS).seats == seats


def test_what_is_not_a_token_is_malformed_and_a_changed_one_is_not_believed():
    good = signed(HEADER, CLAIMS)
    head, payload, signature = good.split(".")
    doubled = json.dumps(CLAIMS)[:-1].encode() + b',"plan":"free"}'

    assert refusal(f"{head}.{payload}") == "malformed"
    assert refusal(f"{good}.e30") == "malformed"
    assert refusal("é" + good[1:]) == "malformed"
    assert refusal(signed(b"[]", CLAIMS)) == "malformed"
    assert refusal(signed(HEADER, doubled)) == "malformed"
    assert refusal(f"{head}.{payload}.{signature}=") == "malformed"
    assert refusal(f"{head}.{payload}.{signature[:-1]}+") == "malformed"
    assert refusal(f"{head}.{payload}.!!!!") == "malformed"
    # The same bytes, written otherwise: the last character carries four bits that mean nothing.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    otherwise = alphabet[alphabet.index(signature[-1]) + 1]
    assert refusal(f"{head}.{payload}.{signature[:-1]}{otherwise}") == "malformed"
    assert refusal(f"{head}.{coded(json.dumps(CLAIMS | {'plan': 'free'}).encode())}.{signature}") \
        == "signature"  # fmt: skip
    assert refusal(good, {KID: Ed25519PrivateKey.generate().public_key()}) == "signature"
    assert refusal(good, {}) == "unknown_key"
    assert refusal(None) == "malformed"


def test_a_token_of_8192_characters_is_read_and_one_more_is_not():
    """Filled by the holder's name, and by the key's where four characters for three bytes miss."""
    written = {}
    about = (8192 - len(signed(HEADER, CLAIMS | {"sub": ""}))) * 3 // 4
    for kid in ("k", "kk", "kkk"):
        for length in range(about - 5, about + 15):
            found = signed(HEADER | {"kid": kid}, CLAIMS | {"sub": "h" * length})
            written[len(found)] = (found, {kid: VENDOR.public_key()})

    assert token.verify(*written[8192]).holder.startswith("hhh")
    assert refusal(*written[8193]) == "malformed"


# --- Judged by an installation ----------------------------------------------------------------


def judged(home=HOME, clock=NOW, **changes):
    written = token.sign(replace(LICENCE, **changes), KID, VENDOR)
    return judge(written, KEYS, home, clock)


def test_a_good_licence_in_full():
    assert judged() == Standing(
        state=State.VALID, now=NOW, licence=replace(LICENCE, kid=KID), grace=14 * DAY
    )
    assert judged().is_usable
    assert judged().grace_ends_at == NOW + 44 * DAY


def test_none_at_all_and_one_that_is_refused_in_full():
    assert judge("", KEYS, HOME, NOW) == Standing(state=State.MISSING, now=NOW)
    refused = judge("x", KEYS, HOME, NOW)
    assert refused == Standing(state=State.INVALID, now=NOW, detail="malformed")
    assert not refused.is_usable
    assert refused.grace_ends_at is None


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"instance": "there"}, State.OTHER_INSTANCE),
        ({"catalog": "market"}, State.OTHER_CATALOG),
        ({"plan": "titanium"}, State.UNKNOWN_PLAN),
        ({"starts_at": NOW}, State.VALID),
        ({"starts_at": NOW + timedelta(seconds=1)}, State.NOT_STARTED),
        ({"ends_at": NOW + timedelta(seconds=1)}, State.VALID),
        ({"ends_at": NOW}, State.GRACE),
        ({"ends_at": NOW - 14 * DAY + timedelta(seconds=1)}, State.GRACE),
        ({"ends_at": NOW - 14 * DAY}, State.EXPIRED),
        # Of several faults the first in this order is named.
        ({"instance": "there", "plan": "titanium", "ends_at": NOW}, State.OTHER_INSTANCE),
    ],
)
def test_each_state_of_an_authentic_licence(changes, state):
    found = judged(**changes)

    assert found.state is state
    assert found.is_usable == (state in {State.VALID, State.GRACE})
    assert found.licence is not None


def test_a_clock_that_is_behind_by_more_than_a_day_unlocks_nothing():
    seen = replace(HOME, latest=NOW + DAY)

    assert judged(seen).state is State.VALID
    assert judged(seen).now == NOW + DAY
    assert judged(seen, NOW - INSTANT).state is State.CLOCK_ROLLED_BACK


def test_a_licence_from_more_than_a_day_ahead_tells_that_the_clock_is_behind():
    assert judged(issued_at=NOW + DAY).state is State.VALID
    assert judged(issued_at=NOW + DAY, clock=NOW - INSTANT).state is State.CLOCK_ROLLED_BACK


def test_time_that_was_seen_ends_a_licence_although_the_clock_is_a_little_behind():
    seen = replace(HOME, latest=NOW + timedelta(hours=2))

    assert judged(seen, ends_at=NOW + timedelta(hours=1)).state is State.GRACE
