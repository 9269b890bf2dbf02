"""The satellite's client before the real server: present, away, killed, and back again."""

import ast
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from quotas import client as client_module
from quotas import satellites
from quotas.client import Client, LedgerlineError, Refused, Spool, Unavailable
from quotas.models import Balance, Reservation, UsageEvent
from tests import children
from tests.billing.selling import put_on_sale
from tests.factories.orgs import OrganizationFactory
from tests.factories.quotas import SatelliteFactory, limited
from tests.quotas import tutorial
from tests.quotas.serving import ROOT, Served

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def served(django_db_setup):
    served = Served()
    yield served
    served.stop()


@pytest.fixture
def server(served, durable):
    if served.process is None:
        served.start()
    return served


@pytest.fixture
def team(durable):
    return limited(storage=100, ai_queries={"amount": 10, "hard": False})


@pytest.fixture
def token(durable):
    return satellites.issue_token(SatelliteFactory.create())[1]


@pytest.fixture
def client(server, team, token):
    with Client(server.url, token, organization=team.slug, retries=1) as client:
        yield client


@pytest.fixture
def spooling(server, team, token, tmp_path, monkeypatch):
    """For soft usage: what cannot be sent is kept here."""
    monkeypatch.setattr(client_module, "_REST_SECONDS", 0.0)
    with Client(
        server.url,
        token,
        organization=team.slug,
        retries=0,
        timeout=5,
        spool=tmp_path / "drive" / "spool",
        when_away={"ai_queries": "spool"},
    ) as client:
        yield client


def used(team, meter):
    return sum(balance.used for balance in Balance.objects.filter(organization=team, meter=meter))


# --- While the server is there ----------------------------------------------------------------


def test_consuming_counts_and_tells_the_figures(client, team):
    answer = client.consume("storage", 70, member="ann")

    assert (answer.allowed, answer.used, answer.remaining) == (True, 70, 30)
    assert used(team, "storage") == 70
    assert UsageEvent.objects.get(organization=team).member == "ann"


def test_a_refusal_is_a_sentence_with_the_figures_and_the_way_out(client, team):
    client.consume("storage", 90)

    with pytest.raises(Refused) as refused:
        client.consume("storage", 20)

    assert "90 B of 100 B is used" in str(refused.value)
    assert (refused.value.status, refused.value.answer.remaining) == (402, 10)
    assert "/settings/billing/" in refused.value.upgrade_url
    assert used(team, "storage") == 90


def test_checking_and_authorizing_count_nothing(client, team):
    checked = client.check("storage", 101)
    with pytest.raises(Refused):
        client.authorize("storage", 101)

    assert (checked.allowed, checked.reason) == (False, "quota_exceeded")
    assert client.authorize("storage", 100).allowed
    assert not UsageEvent.objects.exists()


def test_the_same_key_counts_once(client, team):
    first = client.consume("storage", 7, key="upload-1")
    again = client.consume("storage", 7, key="upload-1")

    assert (first.replayed, again.replayed) == (False, True)
    assert again.event_id == first.event_id
    assert used(team, "storage") == 7


def test_recording_passes_the_limit_and_releasing_gives_back(client, team):
    client.record("storage", 150)
    kept = client.consume("ai_queries", 3, dimensions={"model": "mini"})
    client.release(kept.key)
    client.release_amount("storage", 60)

    assert (used(team, "storage"), used(team, "ai_queries")) == (90, 0)
    assert client.level("storage", 42).used == 42


def test_a_reservation_is_committed_with_what_was_really_used(client, team):
    with client.reserve("storage", 80) as hold:
        held = client.check("storage").held
        hold.commit(30)

    assert held == 80
    assert used(team, "storage") == 30
    assert Reservation.objects.get().state == "committed"


def test_a_reservation_is_voided_when_the_work_fails(client, team):
    with pytest.raises(ZeroDivisionError), client.reserve("storage", 80):
        1 / 0  # noqa: B018

    assert Reservation.objects.get().state == "voided"
    assert client.check("storage", 100).allowed


def test_a_wrong_token_and_a_wrong_amount_are_errors_not_refusals(server, client, team):
    with (
        Client(server.url, "lls_unknown", organization=team.slug, retries=0) as stranger,
        pytest.raises(LedgerlineError) as unknown,
    ):
        stranger.consume("storage")
    with pytest.raises(LedgerlineError) as negative:
        client.consume("storage", -1)

    assert unknown.value.status == 401
    assert (negative.value.status, negative.value.body["field"]) == (422, "amount")


def test_threads_share_a_client_and_never_pass_the_limit(client, team):
    refused = []

    def upload():
        for _ in range(10):
            try:
                client.consume("storage", 2)
            except Refused as refusal:
                refused.append(refusal)

    threads = [threading.Thread(target=upload) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert used(team, "storage") == 100
    assert len(refused) == 30


# --- While it is away -------------------------------------------------------------------------


def test_a_meter_that_refuses_raises_unavailable(spooling, server, team):
    server.stop()

    with pytest.raises(Unavailable):
        spooling.consume("storage", 1)
    with pytest.raises(Unavailable):
        spooling.check("storage", 1)

    assert spooling.spooled == 0


def test_soft_usage_waits_on_disk_and_is_replayed_in_order(spooling, server, team):
    server.stop()
    answers = [spooling.consume("ai_queries", n, key=f"query-{n}") for n in (1, 2, 3)]
    assert spooling.check("ai_queries").allowed
    waited = spooling.spooled
    server.start()

    spooling.record("ai_queries", 4, key="query-4")

    keys = UsageEvent.objects.filter(organization=team).order_by("sequence")
    assert [answer.spooled for answer in answers] == [True, True, True]
    assert (waited, spooling.spooled) == (3, 0)
    assert [event.key for event in keys] == ["query-1", "query-2", "query-3", "query-4"]
    assert used(team, "ai_queries") == 10


def test_the_catalogue_says_which_meters_wait(spooling, server, team):
    put_on_sale()
    spooling.when_away = {}
    spooling.consume("ai_queries", 1)

    learned = spooling.learn()

    server.stop()
    assert (learned["ai_queries"], learned["storage"]) == ("spool", "refuse")
    assert spooling.consume("ai_queries", 2).spooled
    with pytest.raises(Unavailable):
        spooling.consume("storage", 1)


def test_replaying_twice_counts_once(spooling, server, team, tmp_path):
    server.stop()
    spooling.consume("ai_queries", 5)
    file = tmp_path / "drive" / "spool"
    before = file.read_bytes()
    server.start()
    spooling.replay()
    file.write_bytes(before)  # as if a crash had come before the progress was written

    again = spooling.replay()

    assert again == 1
    assert used(team, "ai_queries") == 5


def test_a_consume_whose_answer_was_lost_is_not_counted_twice(spooling, server, team, monkeypatch):
    really = Client._once

    def lose_the_answer(self, method, path, raw):
        really(self, method, path, raw)
        raise TimeoutError("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(Client, "_once", lose_the_answer)
        answer = spooling.consume("ai_queries", 6)

    spooling.replay()

    assert answer.spooled
    assert used(team, "ai_queries") == 6


def test_what_the_server_never_takes_is_set_aside_and_holds_up_nothing(
    spooling, server, team, tmp_path
):
    server.stop()
    spooling.consume("ai_queries", 1, dimensions={"undeclared": "x"})
    spooling.consume("ai_queries", 2)
    server.start()

    spooling.replay()

    rejected = json.loads((tmp_path / "drive" / "spool.rejected").read_text())
    assert rejected["body"]["amount"] == 1
    assert used(team, "ai_queries") == 2


def test_what_was_spooled_survives_kill(spooling, server, team, token, tmp_path):
    server.stop()
    script = (
        "import sys; from quotas.client import Client\n"
        "c = Client(sys.argv[1], sys.argv[2], organization=sys.argv[3], retries=0,"
        " spool=sys.argv[4], when_away='spool')\n"
        "while True:\n"
        "    print(c.consume('ai_queries', 1).key, flush=True)\n"
    )
    spool = tmp_path / "drive" / "spool"
    arguments = [server.url, token, team.slug, str(spool)]
    acknowledged = []
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as victim:
        acknowledged += [victim.stdout.readline().strip() for _ in range(25)]
        os.kill(victim.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in victim.stdout]
    server.start()

    spooling.replay()

    counted = set(UsageEvent.objects.filter(organization=team).values_list("key", flat=True))
    assert len(acknowledged) >= 25
    assert set(acknowledged) <= counted


def test_a_line_that_was_cut_off_is_skipped_and_what_follows_is_kept(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.append({"n": 1}, doubtful=False)
    with spool.path.open("ab") as file:
        file.write(b'{"body": {"n": 2}, "dou')

    spool.append({"n": 3}, doubtful=False)

    assert [entry.body["n"] for entry in spool.entries()] == [1, 3]
    assert spool.waiting() == 2


def test_only_one_replays_at_a_time(tmp_path):
    first, second = Spool(tmp_path / "spool"), Spool(tmp_path / "spool")

    with first.replaying() as mine, second.replaying() as theirs:
        both = (mine, theirs)

    assert both == (True, False)


# --- The file itself --------------------------------------------------------------------------


def test_the_client_is_one_file_of_the_standard_library():
    tree = ast.parse(Path(client_module.__file__).read_text())

    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }

    assert imported <= sys.stdlib_module_names


def test_the_demonstration_consumes_and_ends_with_our_sentence(server, team, token):
    command = [sys.executable, "-m", "quotas.client", "--url", server.url, "--token", token]
    command += ["--organization", team.slug, "--meter", "storage", "--demo", "--every", "0"]

    done = subprocess.run(
        [*command, "--amount", "30"],
        check=False,
        cwd=ROOT,
        env=os.environ | children.measured(),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "of 100 used" in done.stdout
    assert "storage: refused." in done.stdout
    assert 70 < used(team, "storage") <= 100


@pytest.mark.parametrize("url", ["ftp://example.com", "example.com", ""])
def test_a_url_that_is_none_is_refused_at_once(url):
    with pytest.raises(ValueError, match="no http"):
        Client(url, "lls_x")


def test_the_tutorial_works_word_for_word(server, token, tmp_path):
    """Its programs print what the page says they print: counted, refused, and away."""
    limited(OrganizationFactory.create(slug="blue-lantern"), ai_queries=1000)
    folder = tutorial.Folder(tmp_path, server.url, token)
    first, read, refused, _read, away = tutorial.PRINTED

    assert folder.run("first.py") == first
    with folder.serving("assistant.py"):
        assert [folder.ask(400), folder.ask(400)] == [read, read]
        said = folder.ask(400)
        server.stop()
        rests = folder.ask(1)

    assert [read[0], said[0]] == refused[:2]
    assert "/settings/billing/?organization=" in said[1]
    assert rests == away
