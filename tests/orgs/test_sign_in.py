"""Sign-up, login, second factor, password reset: one door, throttled in PostgreSQL."""

import re
import time

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from orgs.models import Organization, User
from tests.factories.orgs import (
    PASSWORD,
    InvitationFactory,
    OrganizationFactory,
    UserFactory,
    owner_of,
    personal_organization,
)

pytestmark = pytest.mark.django_db

LOGIN, SIGN_UP, RESET = "/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"


def log_in(client, email, password=PASSWORD, **options):
    return client.post(LOGIN, {"login": email, "password": password}, **options)


def is_logged_in(client):
    return "_auth_user_id" in client.session


def link_in(message):
    return re.findall(r"https?://\S+", message.body)[0]


def path_of(link):
    return "/" + link.split("/", 3)[3]


def sign_up(client, email="new@example.com", password=PASSWORD, **extra):
    return client.post(SIGN_UP, {"email": email, "password1": password, **extra})


def test_who_signs_up_has_a_personal_organization_and_must_confirm_the_address(client):
    sign_up(client, "Nguyen.An@Example.com", password=PASSWORD)

    user = User.objects.get(email="nguyen.an@example.com")
    personal = personal_organization(user)
    assert personal.kind == Organization.Kind.PERSONAL
    assert personal.slug == "nguyen-an"
    assert user.current_organization == personal
    assert not is_logged_in(client)
    assert mail.outbox[0].to == ["nguyen.an@example.com"]


def test_the_link_of_the_mail_confirms_the_address(client):
    sign_up(client)
    link = link_in(mail.outbox[0])

    client.post(path_of(link))
    log_in(client, "new@example.com")

    assert EmailAddress.objects.get(user__email="new@example.com").verified
    assert is_logged_in(client)


def test_without_a_confirmed_address_the_password_opens_nothing(client):
    sign_up(client)

    log_in(client, "new@example.com")

    assert not is_logged_in(client)


def test_who_signs_up_speaks_the_language_of_the_browser(client):
    client.post(
        SIGN_UP,
        {"email": "new@example.com", "password1": PASSWORD},
        headers={"accept-language": "vi"},
    )

    user = User.objects.get()
    assert user.language == "vi"
    assert personal_organization(user).language == "vi"


def test_signing_up_with_a_known_address_looks_like_any_sign_up(client):
    UserFactory.create(email="known@example.com")

    known = sign_up(Client(), "known@example.com")
    unknown = sign_up(Client(), "unknown@example.com")

    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert User.objects.filter(email="known@example.com").count() == 1


def test_a_closed_house_lets_in_whom_somebody_has_invited(client, settings):
    settings.SIGNUP_OPEN = False
    invitation = InvitationFactory.create()

    sign_up(client, "uninvited@example.com")
    client.post(reverse("orgs:invitation-sign-up", kwargs={"token": invitation.secret}))
    sign_up(client, invitation.email)

    assert not User.objects.filter(email="uninvited@example.com").exists()
    assert User.objects.filter(email=invitation.email).exists()


def test_an_invited_person_signs_up_confirms_and_lands_on_the_invitation(client):
    invitation = InvitationFactory.create()
    here = reverse("orgs:invitation", kwargs={"token": invitation.secret})
    form = client.post(reverse("orgs:invitation-sign-up", kwargs={"token": invitation.secret}))

    client.get(form["Location"])
    sign_up(client, invitation.email)
    client.post(path_of(link_in(mail.outbox[0])))
    landed = log_in(client, invitation.email)

    assert landed["Location"] == here
    assert client.get(here).context["is_for_me"]


@pytest.mark.parametrize(
    "fields", [{"is_staff": "1"}, {"is_superuser": "1"}, {"role": "owner"}, {"is_active": "0"}]
)
def test_what_the_sign_up_form_does_not_offer_cannot_be_posted(client, fields):
    sign_up(client, **fields)

    user = User.objects.get()
    assert (user.is_staff, user.is_superuser, user.is_active) == (False, False, True)


def test_ten_wrong_passwords_close_the_door_even_to_the_right_one():
    user = UserFactory.create()
    client = Client()

    answers = [log_in(client, user.email, "wrong").content.decode() for _ in range(10)]
    log_in(client, user.email)

    assert "Too many failed login attempts" in answers[-1]
    assert not is_logged_in(client)


def test_the_throttle_survives_a_flush_of_redis_and_of_the_cache(redis_server):
    user = UserFactory.create()
    client = Client()
    fail(client, user, times=10, cache_cleared=True)

    redis_server.flushall()
    cache.clear()
    answer = log_in(client, user.email)

    assert (answer.status_code, answer["Retry-After"]) == (429, "900")
    assert "Wait 15 minutes" in answer.content.decode()
    assert not is_logged_in(client)


def test_a_forged_forwarding_header_does_not_open_the_throttle():
    user = UserFactory.create()
    client = Client()
    for number in range(10):
        cache.clear()
        log_in(client, user.email, "wrong", headers={"x-forwarded-for": f"203.0.113.{number}"})

    cache.clear()
    answer = log_in(client, user.email, headers={"x-forwarded-for": "203.0.113.99"})

    assert answer.status_code == 429


@pytest.mark.parametrize(
    "forged", ["203.0.113.{}, 198.51.100.7", "not-an-ip-{}", "{}" + "9" * 9000]
)
def test_behind_a_proxy_only_the_entry_it_wrote_counts(settings, forged):
    settings.TRUSTED_PROXIES = 1
    user = UserFactory.create()
    client = Client()
    for number in range(10):
        cache.clear()
        answer = log_in(
            client, user.email, "wrong", headers={"x-forwarded-for": forged.format(number)}
        )
        assert answer.status_code < 500

    cache.clear()
    answer = log_in(client, user.email, headers={"x-forwarded-for": forged.format(99)})

    assert answer.status_code == 429


def test_an_attacker_elsewhere_does_not_lock_the_owner_out():
    user = UserFactory.create()
    fail(Client(REMOTE_ADDR="198.51.100.7"), user, times=11, cache_cleared=True)
    client = Client(REMOTE_ADDR="192.0.2.1")

    cache.clear()
    log_in(client, user.email)

    assert is_logged_in(client)


def test_a_new_password_opens_the_throttle():
    user = UserFactory.create()
    client = Client()
    fail(client, user, times=10, cache_cleared=True)
    client.post(RESET, {"email": user.email})
    form = client.get(path_of(link_in(mail.outbox[0])), follow=True)
    client.post(
        form.request["PATH_INFO"], {"password1": "another-Long-1", "password2": "another-Long-1"}
    )

    cache.clear()
    log_in(client, user.email, "another-Long-1")

    assert is_logged_in(client)


def test_guesses_from_many_addresses_are_throttled_per_account():
    user = UserFactory.create()

    answers = [
        log_in(Client(REMOTE_ADDR=f"198.51.100.{number}"), user.email, "wrong").content.decode()
        for number in range(8)
    ]

    assert "Too many failed login attempts" in answers[-1]


def test_a_wrong_password_and_an_unknown_address_look_the_same():
    known = UserFactory.create()

    wrong = log_in(Client(), known.email, "wrong")
    unknown = log_in(Client(), "unknown@example.com", "wrong")

    assert without_tokens(wrong, known.email) == without_tokens(unknown, "unknown@example.com")


class CountingHasher(MD5PasswordHasher):
    made = 0

    def encode(self, password, salt):
        type(self).made += 1
        return super().encode(password, salt)


def test_a_wrong_password_and_an_unknown_address_take_the_same_time(settings):
    """E8: the time is that of hashing a password, so both hash as often."""
    known = UserFactory.create()
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    before = CountingHasher.made

    log_in(Client(), known.email, "wrong")
    wrong = CountingHasher.made - before
    log_in(Client(), "unknown@example.com", "wrong")
    unknown = CountingHasher.made - before - wrong

    assert wrong == unknown > 0


@pytest.mark.parametrize("url", [LOGIN, SIGN_UP, RESET, "/accounts/logout/"])
def test_every_form_of_the_door_needs_the_csrf_token(url):
    client = Client(enforce_csrf_checks=True)

    assert client.post(url, {"login": "a@example.com", "password": "x"}).status_code == 403


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example",
        "\\\\evil.example",
        "/\\evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "http://testserver@evil.example/",
        "https://ledgerline.example.evil.example/",
        " //evil.example",
    ],
)
def test_a_login_never_leads_off_the_site(target, settings):
    settings.ALLOWED_HOSTS = ["*"]
    user = UserFactory.create()

    answer = Client().post(LOGIN, {"login": user.email, "password": PASSWORD, "next": target})

    assert answer.status_code == 302
    assert answer["Location"] == "/"


def test_a_login_leads_to_the_page_that_asked_for_it():
    user = UserFactory.create()

    answer = Client().post(LOGIN, {"login": user.email, "password": PASSWORD, "next": "/profile/"})

    assert answer["Location"] == "/profile/"


def test_a_login_changes_the_session_key():
    client = Client()
    session = client.session  # asking for it plants its key in the client's cookies
    session["planted"] = "1"
    session.save()
    before = session.session_key

    log_in(client, UserFactory.create().email)

    assert client.session.session_key != before
    assert is_logged_in(client)


def test_changing_the_password_ends_the_other_sessions():
    user = UserFactory.create()
    here, elsewhere = Client(), Client()
    log_in(here, user.email)
    log_in(elsewhere, user.email)

    here.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": "another-Long-1", "password2": "another-Long-1"},
    )

    assert here.get(reverse("orgs:profile")).status_code == 200
    assert elsewhere.get(reverse("orgs:profile")).status_code == 302


def test_a_reset_link_leads_to_our_site_and_works_once(client, settings):
    settings.ALLOWED_HOSTS = ["*"]
    settings.SITE_URL = "https://ledgerline.example"
    user = UserFactory.create()
    client.post(RESET, {"email": user.email}, headers={"host": "evil.example"})
    link = link_in(mail.outbox[0])

    form = client.get(path_of(link), follow=True)
    client.post(
        form.request["PATH_INFO"], {"password1": "another-Long-1", "password2": "another-Long-1"}
    )
    again = Client().get(path_of(link), follow=True)

    assert link.startswith("https://ledgerline.example/accounts/password/reset/key/")
    assert "evil.example" not in mail.outbox[0].message().as_string()
    assert User.objects.get(pk=user.pk).check_password("another-Long-1")
    assert "password1" not in again.content.decode()


def test_a_new_address_counts_after_its_mail_and_is_stored_in_lower_case(client):
    user = UserFactory.create()
    log_in(client, user.email)
    asked = client.post("/accounts/email/", {"action_add": "", "email": "New.Me@Example.com"})
    if asked["Location"].startswith(reverse("account_reauthenticate")):
        client.post(asked["Location"], {"password": PASSWORD})
    before = User.objects.get(pk=user.pk).email

    client.post(path_of(link_in(mail.outbox[-1])))
    client.post("/accounts/email/", {"action_primary": "", "email": "new.me@example.com"})

    assert before == user.email
    assert User.objects.get(pk=user.pk).email == "new.me@example.com"


def test_a_reset_for_an_unknown_address_looks_like_any_reset():
    known = UserFactory.create()

    right = Client().post(RESET, {"email": known.email})
    wrong = Client().post(RESET, {"email": "unknown@example.com"})

    assert (right.status_code, right["Location"]) == (wrong.status_code, wrong["Location"])


def test_the_confirmation_mail_leads_to_our_site(client, settings):
    settings.ALLOWED_HOSTS = ["*"]
    settings.SITE_URL = "https://ledgerline.example"

    client.post(
        SIGN_UP,
        {"email": "new@example.com", "password1": PASSWORD},
        headers={"host": "evil.example"},
    )

    text = mail.outbox[0].message().as_string()
    assert "https://ledgerline.example/accounts/confirm-email/" in text
    assert "evil.example" not in text


def test_a_host_that_is_not_ours_is_refused(client):
    assert client.get(LOGIN, headers={"host": "evil.example"}).status_code == 400


def test_the_password_alone_does_not_log_in_who_has_a_second_factor():
    user, secret = with_second_factor(UserFactory.create())
    client = Client()

    answer = log_in(client, user.email)
    before = is_logged_in(client)
    client.post(answer["Location"], {"code": current_code(secret)})

    assert not before
    assert is_logged_in(client)


def test_a_code_works_once():
    user, secret = with_second_factor(UserFactory.create())
    code = current_code(secret)
    first, second = Client(), Client()

    for client in (first, second):
        client.post(log_in(client, user.email)["Location"], {"code": code})

    assert is_logged_in(first)
    assert not is_logged_in(second)


def test_a_password_reset_does_not_go_around_the_second_factor(client):
    user, _secret = with_second_factor(UserFactory.create())
    client.post(RESET, {"email": user.email})
    form = client.get(path_of(link_in(mail.outbox[0])), follow=True)

    client.post(
        form.request["PATH_INFO"], {"password1": "another-Long-1", "password2": "another-Long-1"}
    )

    assert not is_logged_in(client)


def test_staff_without_a_second_factor_do_not_enter_the_admin(client):
    client.force_login(staff())

    refused = client.get("/admin/orgs/user/")

    assert refused.status_code == 302
    assert client.get(refused["Location"])["Location"] == reverse("mfa_activate_totp")


def test_staff_with_a_second_factor_enter_the_admin(client):
    user, _secret = with_second_factor(staff())
    client.force_login(user)

    assert client.get("/admin/").status_code == 200


def test_the_admin_has_no_login_form_of_its_own(client):
    answer = client.get("/admin/")
    login = client.get(answer["Location"])

    assert login["Location"].startswith(reverse("account_login"))


def test_people_who_are_not_staff_do_not_enter_the_admin(client):
    user, _secret = with_second_factor(owner_of(OrganizationFactory.create()))
    client.force_login(user)

    answer = client.get("/admin/orgs/user/")

    assert answer.status_code == 302
    assert client.get(answer["Location"])["Location"] == "/"


def test_a_second_factor_is_set_up_after_the_password_is_asked_again(client):
    log_in(client, UserFactory.create().email)
    asked = client.get(reverse("mfa_activate_totp"))
    assert asked["Location"].startswith(reverse("account_reauthenticate"))

    page = client.post(asked["Location"], {"password": PASSWORD}, follow=True)

    assert page.request["PATH_INFO"] == reverse("mfa_activate_totp")
    assert page.status_code == client.get(reverse("mfa_index")).status_code == 200


def fail(client, user, *, times, cache_cleared):
    for _ in range(times):
        if cache_cleared:
            cache.clear()
        log_in(client, user.email, "wrong")


def staff():
    user = UserFactory.create()
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    return User.objects.get(pk=user.pk)


def with_second_factor(user):
    secret = totp.generate_totp_secret()
    TOTP.activate(user, secret)
    assert Authenticator.objects.filter(user=user).exists()
    return user, secret


def current_code(secret):
    return totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30))


def without_tokens(response, email):
    body = re.sub(r'(csrf[^"]*"[^"]*value="|x-csrftoken": ")[^"]+', "", response.content.decode())
    return body.replace(email, "")
