"""The archive of everything: complete, one's own alone, safe to open, and built in small steps."""

import csv
import io
import json
import tracemalloc
import zipfile
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from billing import catalog, tasks
from billing.catalog.apply import apply
from billing.models import Grant, Source
from orgs.models import AuditEntry, DataExport, Role
from orgs.owned_data import archive as archive_room
from orgs.owned_data import exports, tables
from quotas.engine import enforcement
from quotas.models import NoticeEndpoint, ServiceToken, UsageEvent
from quotas.notices import endpoints
from tests.factories.orgs import (
    InvitationFactory,
    OrganizationFactory,
    UserFactory,
    api_token_for,
    member_of,
    owner_of,
)
from tests.factories.quotas import SatelliteFactory, limited

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("on_sale")]

FORMULA = '=HYPERLINK("http://evil.example","Ann")'


@pytest.fixture
def on_sale(db):
    apply(catalog.current(), None, {})


def lived_in(name):
    """An organization with something in every room."""
    owner = UserFactory.create(name=FORMULA)
    organization = limited(OrganizationFactory.create(owner=owner, name=name), storage=100)
    member = member_of(organization)
    InvitationFactory.create(organization=organization, email=f"guest@{organization.slug}.example")
    Grant.objects.create(
        organization=organization, source=Source.CONTRACT, plan_key="pro", reason=f"for {name}"
    )
    for number in range(3):
        key = f"{organization.slug}-{number}"
        enforcement.consume(organization, "storage", 1, idempotency_key=key, member=str(member.pk))
    satellite = SatelliteFactory.create()
    endpoints.add(satellite, "https://drive.example/n", organizations=[organization.pk])
    ServiceToken.objects.create(
        satellite=satellite, prefix="lls_abc", token_hash=organization.pk.hex,
        organizations=[organization.pk],
    )  # fmt: skip
    return organization


def browser_of(person):
    client = Client()
    client.force_login(person)
    return client


def opened(response):
    return zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content)))


def as_csv(archive, name):
    with archive.open(f"csv/{name}.csv") as found:
        return list(csv.DictReader(io.TextIOWrapper(found, "utf-8", newline="")))


def as_json(archive, name):
    return json.loads(archive.read(f"json/{name}.json"))


def built(organization):
    export = exports.ask(organization, actor=owner_of(organization))
    tasks.build_export(str(export.pk))
    _export, pieces = exports.fetch(organization, actor=owner_of(organization))
    return zipfile.ZipFile(io.BytesIO(b"".join(pieces)))


def test_an_owner_takes_everything_along_from_the_page(redis_server):
    organization = lived_in("Acme")
    browser = browser_of(owner_of(organization))
    page = f"/o/{organization.slug}/settings/data/"

    browser.post(f"{page}export/")
    waiting = browser.get(page).content.decode()
    tasks.sweep_exports.run()
    for export in DataExport.objects.all():
        tasks.build_export(str(export.pk))
    ready = browser.get(f"{page}export/state/", headers={"HX-Request": "true"}).content.decode()
    archive = opened(browser.post(f"{page}export/download/"))

    assert "export/state/" in waiting
    assert "Being prepared" in waiting
    assert "Download" in ready
    assert "export/state/" not in ready
    manifest = json.loads(archive.read("manifest.json"))
    assert manifest["organization"] == str(organization.pk)
    counts = {entry["table"]: entry["rows"] for entry in manifest["files"]}
    assert counts.keys() == {table.name for table in tables.all_tables()}
    expected = {"members": 2, "invitations": 1, "grants": 1, "ledger": 3, "service_tokens": 1}
    assert expected.items() <= counts.items()
    for entry in manifest["files"]:
        assert len(archive.read(entry["file"])) == entry["bytes"]
    readme = archive.read("README.txt").decode()
    assert all(f"{column} " in readme for table in tables.all_tables() for column in table.columns)
    acts = AuditEntry.objects.filter(organization=organization).values_list("action", flat=True)
    assert {"organization.export_asked", "organization.export_downloaded"} <= set(acts)


def test_csv_and_json_agree_and_no_cell_is_a_formula(redis_server):
    """E13."""
    archive = built(lived_in("Acme"))

    ledger, events = as_csv(archive, "ledger"), as_json(archive, "ledger")
    assert [row["key"] for row in ledger] == [row["key"] for row in events]
    assert [int(row["delta"]) for row in ledger] == [row["delta"] for row in events] == [1, 1, 1]
    assert {row["user.name"] for row in as_csv(archive, "members")} >= {f"'{FORMULA}"}
    assert {row["user.name"] for row in as_json(archive, "members")} >= {FORMULA}
    for name in archive.namelist():
        if name.startswith("csv/"):
            rows = csv.reader(io.StringIO(archive.read(name).decode()))
            assert not [cell for row in rows for cell in row if cell.startswith(("=", "@", "+"))]


def test_an_archive_holds_nothing_of_another_organization_and_no_secret(redis_server):
    """E30."""
    own, other = lived_in("Own"), lived_in("Foreign")

    archive = built(own)

    everything = b"\n".join(archive.read(name) for name in archive.namelist()).decode()
    for trace in (str(other.pk), other.slug, "Foreign", owner_of(other).email):
        assert trace not in everything
    for token in ServiceToken.objects.all():
        assert token.token_hash not in everything
    for endpoint in NoticeEndpoint.objects.all():
        assert endpoint.secret not in everything
    assert [row["url"] for row in as_json(archive, "notice_endpoints")] == [
        "https://drive.example/n"
    ]
    ids = set(UsageEvent.objects.filter(organization=own).values_list("key", flat=True))
    assert {row["key"] for row in as_json(archive, "ledger")} == ids


def test_the_api_asks_waits_and_fetches(redis_server):
    organization = lived_in("Acme")
    header = {"authorization": f"Bearer {api_token_for(owner_of(organization))}"}
    body = {"organization": organization.slug}

    def call(method, path, **more):
        return getattr(Client(), method)(f"/api/v1/{path}", headers=header, **more)

    too_early = call("post", "export/download", data=body, content_type="application/json")
    asked = call("post", "export", data=body, content_type="application/json")
    again = call("post", "export", data=body, content_type="application/json")
    tasks.build_export(asked.json()["id"])
    state = call("get", f"export?organization={organization.slug}").json()["export"]
    fetched = call("post", "export/download", data=body, content_type="application/json")

    assert (too_early.status_code, too_early.json()["code"]) == (404, "export_not_ready")
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    assert again.json()["id"] == asked.json()["id"]
    assert (state["state"], state["rows_done"]) == ("ready", state["rows_expected"])
    assert fetched["Content-Type"] == "application/zip"
    assert len(b"".join(fetched.streaming_content)) == state["size"]


def test_only_owners_fetch_it_and_only_for_some_days(redis_server, settings):
    organization = lived_in("Acme")
    page = f"/o/{organization.slug}/settings/data/"
    built(organization)
    admin = browser_of(member_of(organization, Role.ADMIN))
    owner = browser_of(owner_of(organization))

    assert admin.get(page).status_code == 403
    assert admin.post(f"{page}export/download/").status_code == 403
    DataExport.objects.update(expires_at=timezone.now())
    assert "Download" not in owner.get(page).content.decode()
    assert owner.post(f"{page}export/download/").status_code == 302
    tasks.enforce_retention.run()
    assert not DataExport.objects.exists()


def test_a_worker_that_died_half_way_is_followed_by_another(redis_server, monkeypatch):
    organization = lived_in("Acme")
    export = exports.ask(organization, actor=owner_of(organization))
    write = archive_room.write

    def dies(sink, *rest):
        sink.write(b"half" * 300_000)
        raise MemoryError

    monkeypatch.setattr(archive_room, "write", dies)
    assert not exports.build(export.pk)
    monkeypatch.setattr(archive_room, "write", write)
    assert exports.due() == []
    DataExport.objects.update(leased_until=timezone.now() - timedelta(seconds=1))

    assert exports.due() == [export.pk]
    assert exports.build(export.pk)
    assert not exports.build(export.pk)  # the second worker finds it done
    assert organization.exports.get().attempts == 2


def test_a_large_ledger_does_not_fill_the_memory(redis_server, monkeypatch):
    """A memory that does not grow with the rows, and pages that leave none out."""
    organization = lived_in("Acme")
    monkeypatch.setattr(tables, "PAGE", 2)
    row = tuple("x" * 100 for _ in range(20))

    def many(count):
        return tables.Table(
            name="many", about="", columns={f"c{n}": "" for n in range(20)},
            rows=lambda scope: (row for _ in range(count)), count=lambda scope: count,
        )  # fmt: skip

    def peak(count):
        scope = tables.Scope(organization=organization, until=timezone.now())
        tracemalloc.start()
        archive_room.write(_Nowhere(), scope, [many(count)], lambda rows: None)
        _now, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(3_000) < peak(300) + 2**20
    assert len(as_json(built(organization), "ledger")) == 3


class _Nowhere:
    def write(self, data):
        return len(data)

    def flush(self):
        return
