"""Language and time zone: the browser's choice, else the person's, else English and UTC."""

from datetime import UTC, datetime

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from orgs.models import User
from tests.factories.orgs import OrganizationFactory, UserFactory, api_token_for, owner_of

pytestmark = pytest.mark.django_db

PROFILE = {"name": "An", "language": "vi", "time_zone": "Asia/Ho_Chi_Minh"}


def page(user, path, **options):
    client = Client()
    client.force_login(user)
    return client.get(path, **options)


def test_pages_speak_the_language_of_the_profile():
    user = UserFactory.create(language="vi")

    response = page(user, reverse("orgs:profile"), headers={"accept-language": "en"})

    assert response["Content-Language"] == "vi"
    assert '<html lang="vi"' in response.content.decode()
    assert translation.get_language() == "en"


def test_a_language_chosen_in_this_browser_comes_first():
    client = Client()
    client.force_login(UserFactory.create(language="vi"))
    client.cookies["django_language"] = "en"

    assert client.get(reverse("orgs:profile"))["Content-Language"] == "en"


def test_saving_the_profile_changes_language_and_time_zone_at_once():
    user = UserFactory.create()
    client = Client()
    client.force_login(user)

    response = client.post(reverse("orgs:profile"), PROFILE, follow=True)

    assert response["Content-Language"] == "vi"
    user.refresh_from_db()
    assert (user.name, user.language, user.time_zone) == ("An", "vi", "Asia/Ho_Chi_Minh")


@pytest.mark.parametrize("field", [{"language": "xx"}, {"time_zone": "Mars/Olympus"}])
def test_an_unknown_language_or_zone_is_refused(field):
    user = UserFactory.create()
    client = Client()
    client.force_login(user)

    response = client.post(reverse("orgs:profile"), PROFILE | field)

    assert response.status_code == 422
    assert User.objects.get(pk=user.pk).language == "en"


def test_times_are_told_in_the_persons_zone():
    organization = OrganizationFactory.create()
    owner = owner_of(organization)
    User.objects.filter(pk=owner.pk).update(time_zone="Asia/Ho_Chi_Minh")
    api_token_for(owner)
    owner.api_tokens.update(expires_at=datetime(2027, 1, 1, 20, tzinfo=UTC))

    text = page(owner, reverse("orgs:api-keys", args=[organization.slug])).content.decode()

    assert "Jan. 2, 2027" in text
    assert timezone.get_current_timezone_name() == "UTC"


def test_a_zone_this_host_does_not_know_is_utc():
    user = UserFactory.create(time_zone="Mars/Olympus")

    assert page(user, reverse("orgs:profile")).status_code == 200
