"""Reports read from a copy of the database, decisions never; without it everything goes on."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from billing.insight import numbers
from config.embedded.places import binaries_for
from config.embedded.postgres import SETTINGS
from config.embedded.processes import Account, Launch, free_port, stop
from orgs import replica
from orgs.models import Organization
from quotas.engine import enforcement
from tests.factories.orgs import OrganizationFactory
from tests.factories.quotas import limited
from tests.processes import wait_until

READ_ONLY = {"options": "-c default_transaction_read_only=on", "connect_timeout": 2}


pytestmark = pytest.mark.django_db(transaction=True, databases=["default", replica.ALIAS])


@pytest.fixture(scope="module", autouse=True)
def _alias(django_db_setup):
    """As DATABASE_REPLICA_URL makes it, at first on the database itself."""
    told = connections.databases["default"]
    connections.databases[replica.ALIAS] = {**told, "OPTIONS": READ_ONLY}
    yield
    del connections[replica.ALIAS]
    del connections.databases[replica.ALIAS]


@pytest.fixture
def copy_at(settings):
    settings.DATABASE_ROUTERS = ["orgs.replica.Router"]
    place = connections[replica.ALIAS].settings_dict
    port = place["PORT"]

    def at(port):
        connections[replica.ALIAS].close()
        place["PORT"] = port

    yield at
    at(port)


def queries_of(work):
    """How many statements went to the copy, beside the question how old it is, and elsewhere."""
    with (
        CaptureQueriesContext(connections[replica.ALIAS]) as there,
        CaptureQueriesContext(connection) as here,
    ):
        work()
    return len([q for q in there if "pg_is_in_recovery" not in q["sql"]]), len(here)


def test_a_report_reads_the_copy_and_nothing_else_does(copy_at):
    organization = limited(OrganizationFactory.create(), storage=10)

    copied, here = queries_of(numbers.of)
    assert copied > 3
    assert here == 0
    assert replica.behind() == 0
    assert queries_of(lambda: Organization.objects.get(pk=organization.pk)) == (0, 1)
    assert queries_of(lambda: enforcement.check(organization, "storage"))[0] == 0

    with transaction.atomic():
        assert queries_of(numbers.of)[0] == 0  # it must see what was just written
    with pytest.raises(DatabaseError, match="read-only"):
        Organization.objects.using(replica.ALIAS)._raw_delete(replica.ALIAS)


def test_a_copy_that_is_away_is_done_without(copy_at):
    copy_at(free_port())

    assert replica.behind() is None
    assert isinstance(numbers.of(), numbers.Numbers)


@pytest.fixture
def standby(copy_at):
    """A real streaming replica of the server of this run."""
    account = Account.for_servers()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        home = Path(folder)
        account.own(home, 0o755)
        programs = binaries_for(home, account).postgres / "bin"
        allow_replication()
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path="/").geturl()
        copying = ["-D", str(home / "data"), "-R", "-X", "stream", "-c", "fast", "-d", url]
        subprocess.run(
            [programs / "pg_basebackup", *copying],
            check=True, user=account.switch_uid, group=account.switch_gid, cwd=home,
        )  # fmt: skip
        port = free_port()
        # A standby refuses to have room for less than its primary.
        room = {name: SETTINGS[name] for name in ("max_connections", "max_locks_per_transaction")}
        options = {"port": port, "unix_socket_directories": "", "fsync": "off", **room}
        server = Launch(
            command=[
                *(str(programs / "postgres"), "-D", str(home / "data")),
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
            ],
            account=account,
            folder=home,
            log=home / "standby.log",
            stop_signal=signal.SIGINT,
        ).start()
        yield port, server
        stop(server, signal.SIGINT)


def allow_replication():
    rule = "host replication all 127.0.0.1/32 scram-sha-256\n"
    with connection.cursor() as cursor:
        cursor.execute("SHOW hba_file")
        (rules,) = cursor.fetchone()
        if rule not in Path(rules).read_text():
            with Path(rules).open("a") as file:
                file.write(rule)
            cursor.execute("SELECT pg_reload_conf()")


@pytest.mark.verify
def test_a_streaming_replica_answers_reports_within_seconds_and_its_death_costs_nothing(
    standby, copy_at, report
):
    port, server = standby
    copy_at(port)
    organization = OrganizationFactory.create()
    wait_until(lambda: replica.behind() is not None, seconds=60)

    def is_there():
        return Organization.objects.using(replica.ALIAS).filter(pk=organization.pk).exists()

    wait_until(is_there, seconds=60)
    report(f"the copy is at most {replica.behind():.2f} s behind")
    assert queries_of(numbers.of)[1] == 0

    stop(server, signal.SIGKILL)
    connections[replica.ALIAS].close()
    assert replica.behind() is None
    assert isinstance(numbers.of(), numbers.Numbers)
