"""Guessing and flooding end soon, and what counts them is kept in PostgreSQL."""

import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from django.core import checks, mail
from django.db import connection
from django.test import Client

from orgs.models import User
from orgs.second_factors import SecondFactorAdapter
from tests.factories.orgs import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
LOGIN, RESET, CODE = "/accounts/login/", "/accounts/password/reset/", "/accounts/2fa/authenticate/"


@pytest.fixture
def guarded():
    """Somebody with a second factor, its seed, and their recovery codes."""
    user = UserFactory.create()
    seed = totp.generate_totp_secret()
    totp.TOTP.activate(user, seed)
    codes = RecoveryCodes.activate(user).get_unused_codes()
    return user, seed, codes


def asked_for_a_code(user, client=None):
    client = client or Client()
    client.post(LOGIN, {"login": user.email, "password": PASSWORD})
    return client


def is_logged_in(client):
    return "_auth_user_id" in client.session


def code_of(seed):
    return totp.format_hotp_value(totp.hotp_value(seed, int(time.time()) // 30))


def test_five_mails_to_one_address_are_enough_whatever_becomes_of_redis(redis_server):
    user = UserFactory.create()
    known = [Client().post(RESET, {"email": user.email}).status_code for _ in range(5)]

    redis_server.flushall()
    late = Client(REMOTE_ADDR="198.51.100.7").post(RESET, {"email": user.email})
    unknown = [Client().post(RESET, {"email": "no@example.com"}).status_code for _ in range(6)]

    assert (known, late.status_code) == ([302] * 5, 429)
    assert len([sent for sent in mail.outbox if sent.to == [user.email]]) == 5
    assert unknown == [*known, late.status_code]


def test_after_five_wrong_codes_the_right_one_is_refused_in_every_browser(guarded, redis_server):
    user, seed, codes = guarded
    guessing = asked_for_a_code(user)
    for _ in range(5):
        guessing.post(CODE, {"code": "000000"})

    redis_server.flushall()
    answers = []
    for code in (code_of(seed), codes[0]):
        client = asked_for_a_code(user)
        answers.append((client.post(CODE, {"code": code}).status_code, is_logged_in(client)))

    assert answers == [(200, False)] * 2


def test_a_recovery_code_opens_once_and_new_ones_end_the_old(guarded):
    user, _seed, codes = guarded
    first, again, old = asked_for_a_code(user), asked_for_a_code(user), asked_for_a_code(user)

    first.post(CODE, {"code": codes[0]})
    again.post(CODE, {"code": codes[0]})
    first.post("/accounts/reauthenticate/", {"password": PASSWORD})
    first.post("/accounts/2fa/recovery-codes/generate/")
    old.post(CODE, {"code": codes[1]})

    assert len(codes) == len(set(codes)) == 10
    assert [is_logged_in(client) for client in (first, again, old)] == [True, False, False]


def test_seeds_of_second_factors_are_encrypted_at_rest(guarded):
    _user, seed, _codes = guarded
    kept = [authenticator.data for authenticator in Authenticator.objects.order_by("type")]

    adapter = SecondFactorAdapter()

    assert len(kept) == 2
    assert seed not in str(kept)
    assert all(value.startswith("gAAAA") for data in kept for value in data.values() if value)
    assert adapter.decrypt(adapter.encrypt(seed)) == seed
    assert adapter.decrypt(seed) == seed  # kept before there was encryption


@pytest.mark.parametrize("weak", ["short-1", "password123", "20262026202620", "nguyen.thi.an@exam"])
def test_a_weak_password_is_refused_at_sign_up_and_at_every_change(weak):
    user, new = UserFactory.create(email="nguyen.thi.an@example.com"), "nguyen.thi.an@example.net"
    client = asked_for_a_code(user)

    sign_up = Client().post("/accounts/signup/", {"email": new, "password1": weak})
    change = client.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": weak, "password2": weak},
    )

    assert (sign_up.status_code, change.status_code) == (200, 200)
    assert User.objects.get(pk=user.pk).check_password(PASSWORD)
    assert not User.objects.filter(email=new).exists()


def test_a_long_password_of_any_letters_is_taken_as_it_is():
    client, password = Client(), "mật khẩu dài 🐢 " * 8

    client.post("/accounts/signup/", {"email": "long@example.com", "password1": password})

    assert User.objects.get(email="long@example.com").check_password(password)


@pytest.mark.parametrize("change", [{"is_staff": True}, {"is_superuser": True}])
def test_a_change_of_what_staff_may_do_ends_their_sessions(change):
    promoted, demoted = UserFactory.create(), UserFactory.create(**change)
    browsers = [asked_for_a_code(person) for person in (promoted, demoted)]
    bystander = asked_for_a_code(UserFactory.create())

    User.objects.filter(pk=promoted.pk).update(**change)
    User.objects.filter(pk=demoted.pk).update(**dict.fromkeys(change, False))

    seen = [browser.get("/accounts/email/").status_code for browser in browsers]
    assert (seen, bystander.get("/accounts/email/").status_code) == ([302, 302], 200)


def test_throttles_outside_postgresql_are_refused_at_start(settings):
    settings.AXES_HANDLER = "axes.handlers.cache.AxesCacheHandler"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache"}}

    found = {message.id for message in checks.run_checks()}

    assert {"orgs.E001", "orgs.E002"} <= found
    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence::text FROM pg_class WHERE relname = 'django_cache'")
        assert cursor.fetchone() == ("p",)  # in the log of PostgreSQL, so kept over a crash
