"""A satellite's day: the drive stores, refuses with our sentence, and stores again."""

import http.client
import threading

import pytest

from quotas import satellites
from quotas.client import Client
from quotas.engine import counters, lane, refresh
from quotas.models import Balance
from tests.factories.quotas import SatelliteFactory, limit_of, limited
from tests.journeys.drive import Drive
from tests.quotas.serving import Served

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def ledgerline(django_db_setup):
    served = Served()
    yield served
    served.stop()
    lane.stop_all()
    refresh.stop()


@pytest.fixture
def team(transactional_db, redis_server):
    return limited(storage=1000)


@pytest.fixture
def drive(ledgerline, team, tmp_path):
    """Scoped to storage and to this organization, as a drive should be."""
    if ledgerline.process is None:
        ledgerline.start()
    token = satellites.issue_token(SatelliteFactory.create(), ["storage"], [team.pk])[1]
    client = Client(ledgerline.url, token, organization=str(team.pk), retries=0)
    drive = Drive(0, tmp_path / "files", client)
    threading.Thread(target=drive.serve_forever, daemon=True).start()
    yield drive
    drive.shutdown()
    drive.server_close()
    client.close()


def ask(drive, method, name, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", drive.server_port, timeout=20)
    try:
        connection.request(method, f"/{name}", body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def used(team):
    return Balance.objects.get(organization=team, meter="storage").used


def test_an_upload_is_refused_with_our_sentence_and_fits_after_an_upgrade(drive, team):
    first = ask(drive, "PUT", "report.pdf", b"x" * 900)
    refused = ask(drive, "PUT", "film.mp4", b"x" * 300)
    limit_of(team, "storage", amount=5000)
    counters.forget(team.pk, 0)

    after = ask(drive, "PUT", "film.mp4", b"x" * 300)

    assert first == (201, "report.pdf is stored.\n")
    assert refused[0] == 402
    assert "Storage: 900 B of 1,000 B is used, so 300 B more is too much." in refused[1]
    assert "/settings/billing/" in refused[1]
    assert after[0] == 201
    assert ask(drive, "GET", "film.mp4") == (200, "x" * 300)
    assert used(team) == 1200


def test_replacing_and_deleting_give_room_back(drive, team):
    ask(drive, "PUT", "notes.txt", b"x" * 600)
    ask(drive, "PUT", "notes.txt", b"x" * 200)
    smaller = used(team)

    gone = ask(drive, "DELETE", "notes.txt")

    assert (smaller, used(team)) == (200, 0)
    assert gone[0] == 200
    assert ask(drive, "GET", "notes.txt")[0] == 404


def test_while_ledgerline_is_away_the_drive_takes_nothing_and_says_so(drive, ledgerline, team):
    ledgerline.stop()

    status, sentence = ask(drive, "PUT", "report.pdf", b"x" * 10)

    assert status == 503
    assert "try again" in sentence
    assert ask(drive, "GET", "report.pdf")[0] == 404


def test_the_drive_reports_what_really_lies_there(drive, team):
    (drive.folder / "copied-by-hand.bin").write_bytes(b"x" * 123)

    drive.report()

    assert used(team) == 123
