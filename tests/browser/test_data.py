"""Taking everything along and leaving, as an owner does it in a browser."""

import zipfile

import pytest

from orgs.models import Deletion
from orgs.owned_data import exports
from tests.factories.orgs import PASSWORD, OrganizationFactory, UserFactory

pytestmark = pytest.mark.verify


@pytest.fixture
def owner(simulator):
    owner = UserFactory.create(name="Lê Thu Hà", email="ha@halong.example")
    OrganizationFactory.create(name="Hạ Long Studio", slug="ha-long", owner=owner)
    return owner


def test_an_owner_downloads_everything_and_has_the_organization_deleted(visitor, owner, tmp_path):
    visitor.sign_in(owner)
    visitor.go("Data")
    visitor.look("data-nothing-yet")

    visitor.press("Prepare an archive")
    visitor.reads("Being prepared")
    visitor.look("data-being-prepared")
    for export_id in exports.due():
        exports.build(export_id)
    visitor.reads("It can be downloaded until")  # the page asks by itself
    visitor.look("data-ready")
    with visitor.page.expect_download() as downloading:
        visitor.press("Download")
    archive = tmp_path / "archive.zip"
    downloading.value.save_as(archive)
    assert zipfile.ZipFile(archive).testzip() is None

    visitor.page.context.clear_cookies(name="sessionid")
    visitor.sign_in(owner)
    visitor.go("Data")
    visitor.page.get_by_label("Type the name").fill("Hạ Long Studio")
    visitor.press("Delete the organization")
    visitor.reads("This organization is going to be deleted")
    visitor.look("data-to-be-deleted")
    assert Deletion.objects.exists()
    visitor.press("Keep the organization")
    visitor.reads("Nothing will be deleted.")


def test_who_signed_in_long_ago_confirms_the_password_first(visitor, owner, settings):
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 0
    visitor.sign_in(owner)
    visitor.go("Data")
    visitor.page.get_by_label("Type the name").fill("Hạ Long Studio")
    visitor.press("Delete the organization")
    visitor.page.get_by_label("Password").wait_for()
    visitor.look("reauthenticate")

    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
    visitor.page.get_by_label("Password").fill(PASSWORD)
    visitor.page.get_by_role("button", name="Confirm").click()
    visitor.page.get_by_role("heading", level=1, name="Data").wait_for()
    visitor.page.get_by_label("Type the name").fill("Hạ Long Studio")
    visitor.press("Delete the organization")

    visitor.reads("This organization is going to be deleted")
