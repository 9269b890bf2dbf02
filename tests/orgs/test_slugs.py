"""Slugs: plain, never reused, never shaped like an id; the database holds to it too."""

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from orgs import organizations, slugs
from orgs.exceptions import SlugTaken, Unprocessable
from orgs.models import Organization, SlugHistory
from tests.factories.orgs import OrganizationFactory, UserFactory, owner_of

pytestmark = pytest.mark.django_db
UUID = "0e538830-3fd2-44fc-9400-a947eaf423bd"  # the same in every worker of a run


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Hạ Long Studio", "ha-long-studio"),
        ("Đà Nẵng & Đồng Nai", "da-nang-dong-nai"),
        ("  Ünïcode -- GmbH  ", "unicode-gmbh"),
    ],
)
def test_a_slug_resembles_the_name(name, slug):
    assert slugs.for_name(name) == slug


@pytest.mark.parametrize("name", ["", "日本", "a", "---", "x" * 300, UUID])
def test_any_name_finds_a_slug_that_is_accepted(name):
    organization = organizations.create_team(UserFactory.create(), name[:120] or "?")

    assert slugs.check(organization.slug, organization=organization) == organization.slug


def test_namesakes_get_different_slugs():
    person = UserFactory.create()

    first = organizations.create_team(person, "Same name")
    second = organizations.create_team(person, "Same name")

    assert first.slug != second.slug
    assert second.slug.startswith("same-name-")


def test_a_slug_that_was_given_up_is_nobody_elses():
    organization, other = OrganizationFactory.create(slug="coveted"), OrganizationFactory.create()
    organizations.change_slug(organization, "moved-on", actor=owner_of(organization))

    with pytest.raises(SlugTaken):
        organizations.change_slug(other, "coveted", actor=owner_of(other))
    with pytest.raises(SlugTaken):
        organizations.create_team(UserFactory.create(), "New", slug="coveted")

    back = organizations.change_slug(organization, "coveted", actor=owner_of(organization))
    assert back.slug == "coveted"


def test_a_closed_organizations_slug_is_nobody_elses():
    organization = OrganizationFactory.create(slug="gone-for-good")
    organizations.close(organization, actor=owner_of(organization))

    with pytest.raises(SlugTaken):
        organizations.create_team(UserFactory.create(), "New", slug="gone-for-good")


@pytest.mark.parametrize(
    "slug",
    ["", "-a", "a-", "Upper", "sp ace", "a/b", "a.b", "é", UUID, UUID.replace("-", "")],
)
def test_a_slug_that_is_not_plain_is_refused(slug):
    organization = OrganizationFactory.create()

    with pytest.raises(Unprocessable):
        organizations.change_slug(organization, slug, actor=owner_of(organization))
    with pytest.raises(IntegrityError), transaction.atomic():
        Organization.objects.filter(pk=organization.pk).update(slug=slug)


def test_the_database_refuses_a_used_slug_and_remembers_each():
    organization, other = OrganizationFactory.create(slug="first"), OrganizationFactory.create()
    Organization.objects.filter(pk=organization.pk).update(slug="second")

    with pytest.raises(IntegrityError, match="has belonged to another"), transaction.atomic():
        Organization.objects.filter(pk=other.pk).update(slug="first")

    assert set(
        SlugHistory.objects.filter(organization=organization).values_list("slug", flat=True)
    ) == {"first", "second"}


def test_the_page_moves_with_the_slug_and_the_former_address_ends():
    organization = OrganizationFactory.create(slug="before")
    client = Client()
    client.force_login(owner_of(organization))

    answer = client.post(reverse("orgs:change-slug", args=["before"]), {"slug": "after"})

    assert answer["Location"] == reverse("orgs:general", args=["after"])
    assert client.get(answer["Location"]).status_code == 200
    assert client.get(reverse("orgs:general", args=["before"])).status_code == 404


def test_a_refused_slug_is_explained_beside_its_field():
    OrganizationFactory.create(slug="taken")
    organization = OrganizationFactory.create(slug="free")
    client = Client()
    client.force_login(owner_of(organization))

    answer = client.post(reverse("orgs:change-slug", args=["free"]), {"slug": "taken"})

    assert answer.status_code == 409
    assert "is not available" in answer.content.decode()
