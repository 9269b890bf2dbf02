"""These tests start, share and kill real servers, each pair in a folder of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from redis import Redis

from config.embedded import BASE_DIR, EmbeddedError, EmbeddedServices, ensure_running, reset
from config.embedded.places import Places
from config.embedded.processes import command_of, wait_for
from config.reset import main as make_reset
from tests import children

pytestmark = pytest.mark.early

HOLDER = """
    import sys
    from pathlib import Path
    from config.embedded import EmbeddedServices

    services = EmbeddedServices(Path(sys.argv[1]))
    print(services.acquire().database_url, flush=True)
    sys.stdin.readline()
    services.release()
"""


@pytest.fixture(autouse=True)
def _measured(monkeypatch):
    """The guardians and holders of these tests."""
    for name, value in children.measured().items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def prepared():
    """A pair that ran once: initdb takes longer than most of these tests."""
    with open_folder() as folder:
        services = EmbeddedServices(folder)
        services.acquire()
        services.release()
        yield folder


@pytest.fixture
def var(prepared):
    """A folder with data; whatever the test does to its pair, it must stop by itself."""
    with open_folder() as folder:
        subprocess.run(["/bin/cp", "-a", f"{prepared}/.", str(folder)], check=True)
        places = Places.under(folder)
        places.memory.write_text(places.memory.read_text().replace(str(prepared), str(folder)))
        yield folder
        assert wait_for(lambda: not servers_of(folder), seconds=30)
        reset(folder)


@pytest.fixture
def services(var):
    services = EmbeddedServices(var)
    yield services
    services.release()


@pytest.fixture
def hold(var):
    """Starts another process that uses the same pair until its standard input closes."""
    holders = []

    def start(number=1):
        started = [start_one() for _ in range(number)]
        return [(holder, holder.stdout.readline().strip()) for holder in started]

    def start_one():
        holder = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(HOLDER), str(var)],
            cwd=BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        holders.append(holder)
        return holder

    yield start
    for holder in holders:
        holder.communicate()


def test_the_first_start_gives_an_empty_database_and_a_redis_that_evicts_nothing(
    services, var, monkeypatch
):
    monkeypatch.delenv("LEDGERLINE_EMBEDDED_FSYNC", raising=False)
    reset(var)

    urls = services.acquire()

    assert query(urls.database_url, "SELECT current_database(), upper('đ')") == ("ledgerline", "Đ")
    assert query(urls.database_url, "SELECT current_setting('fsync')") == ("on",)
    with Redis.from_url(urls.redis_url) as redis:
        assert redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert redis.config_get("appendonly") == {"appendonly": "yes"}


def test_the_servers_listen_on_loopback_only_and_ask_for_a_password(services):
    urls = services.acquire()

    assert query(urls.database_url, "SELECT current_setting('listen_addresses')") == ("127.0.0.1",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        query(urls.database_url.replace("ledgerline:", "ledgerline:wrong", 1), "SELECT 1")


def test_data_and_urls_survive_a_stop_and_a_start(services, var):
    before = services.acquire()
    query(before.database_url, "CREATE TABLE kept AS SELECT 7 AS number", rows=False)
    services.release()
    assert not servers_of(var)

    after = services.acquire()

    assert after == before
    assert query(after.database_url, "SELECT number FROM kept") == (7,)


def test_a_second_process_joins_the_pair_and_the_last_to_leave_stops_it(services, hold, var):
    first = services.acquire()
    [(other, other_url)] = hold()
    assert other_url == first.database_url

    services.release()

    assert query(other_url, "SELECT 1") == (1,)
    other.communicate()
    assert wait_for(lambda: not servers_of(var), seconds=15)


def test_twelve_processes_that_start_at_once_share_one_pair(hold, var):
    urls = {url for _, url in hold(12)}

    assert len(urls) == 1
    assert query(urls.pop(), "SELECT 1") == (1,)
    assert len([each for each in servers_of(var) if "guardian" in each]) == 1


def test_a_holder_killed_with_9_leaves_no_server_behind(hold, var):
    [(holder, _)] = hold()
    assert servers_of(var)

    holder.kill()

    assert wait_for(lambda: not servers_of(var), seconds=15)


def test_a_guardian_killed_with_9_takes_its_servers_along_and_the_next_start_works(
    hold, services, var
):
    [(_, url)] = hold()
    os.kill(guardian_of(var), signal.SIGKILL)
    assert wait_for(lambda: not servers_of(var), seconds=15)

    urls = services.acquire()

    assert urls.database_url == url
    assert query(url, "SELECT 1") == (1,)


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_a_server_killed_with_9_comes_back_on_its_port(services, var, name):
    urls = services.acquire()
    query(urls.database_url, "CREATE TABLE kept AS SELECT 7 AS number", rows=False)
    pid = server_pid(var, name)

    os.kill(pid, signal.SIGKILL)

    assert wait_for(lambda: server_pid(var, name) not in {0, pid}, seconds=20)
    assert wait_for(lambda: answers(urls), seconds=20)
    assert query(urls.database_url, "SELECT number FROM kept") == (7,)


def test_a_stale_process_id_that_now_names_another_process_is_not_killed(services, var):
    home = home_of(var)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        plant(home / "postgres" / "data" / "postmaster.pid", f"{bystander.pid}\n")
        plant(home / "valkey" / "valkey.pid", f"{bystander.pid}\n")

        urls = services.acquire()

        assert query(urls.database_url, "SELECT 1") == (1,)
        assert bystander.poll() is None


def test_a_server_left_without_a_guardian_is_stopped_by_the_next_start(services, var):
    orphan = start_orphan(home_of(var))

    urls = services.acquire()

    assert query(urls.database_url, "SELECT 1") == (1,)
    assert orphan.wait(10) is not None


def test_an_interrupted_first_start_is_done_again(services, var):
    data = home_of(var) / "postgres" / "data"
    data.rename(data.with_name("data.new"))
    forget(var, "postgres_password")

    urls = services.acquire()

    assert query(urls.database_url, "SELECT 1") == (1,)


def test_reset_is_refused_while_a_process_uses_the_pair(services, var):
    services.acquire()

    with pytest.raises(EmbeddedError, match="in use"):
        reset(var)


def test_make_reset_drops_what_the_demo_keeps_and_nothing_else(services, var, monkeypatch):
    monkeypatch.setenv("LEDGERLINE_VAR", str(var))
    (var / "log").mkdir()
    for kept in ("log/web.log", "demo.json", "notes.txt"):
        (var / kept).write_text("x")
    services.acquire()
    home = home_of(var)
    with pytest.raises(SystemExit, match="in use"):
        make_reset()
    assert (var / "demo.json").exists()
    services.release()

    make_reset()

    assert not home.exists()
    assert {path.name for path in var.iterdir()} & {"log", "demo.json", "notes.txt"} == {
        "notes.txt"
    }


def test_after_reset_the_database_is_empty(services, var):
    urls = services.acquire()
    query(urls.database_url, "CREATE TABLE dropped AS SELECT 1", rows=False)
    services.release()

    reset(var)

    urls = services.acquire()
    assert query(urls.database_url, "SELECT to_regclass('dropped')") == (None,)


def test_data_of_another_postgres_version_is_refused_with_the_way_out(services, var):
    plant(home_of(var) / "postgres" / "data" / "PG_VERSION", "12\n")

    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 12.*make reset"):
        services.acquire()


def test_production_is_refused_before_anything_starts(monkeypatch, tmp_path):
    monkeypatch.setattr("config.embedded._urls", None)
    monkeypatch.setenv("DEBUG", "0")
    monkeypatch.delenv("LEDGERLINE_EMBEDDED", raising=False)
    monkeypatch.setenv("LEDGERLINE_VAR", str(tmp_path / "var"))

    with pytest.raises(EmbeddedError, match="DATABASE_URL and REDIS_URL must be set"):
        ensure_running()

    assert not (tmp_path / "var").exists()


def test_a_folder_with_blanks_commas_and_quotes_in_its_name_is_a_folder(var):
    services = EmbeddedServices(var / "it's a folder, too")

    urls = services.acquire()

    assert query(urls.database_url, "SELECT 1") == (1,)
    services.release()
    reset(services.places.var)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the servers to another user")
def test_a_folder_that_nobody_cannot_enter_gets_its_data_elsewhere(services, var):
    reset(var)
    var.chmod(0o700)

    urls = services.acquire()

    assert query(urls.database_url, "SELECT 1") == (1,)
    assert not home_of(var).is_relative_to(var)


@contextmanager
def open_folder():
    """Under root the servers run as `nobody`, who cannot enter pytest's own folders."""
    with TemporaryDirectory(prefix="ledgerline-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def query(url, statement, *, rows=True):
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone() if rows else None


def answers(urls):
    try:
        with Redis.from_url(urls.redis_url) as redis:
            return query(urls.database_url, "SELECT 1") == (1,) and redis.ping()
    except (psycopg.OperationalError, ConnectionError, OSError):
        return False
    except Exception as error:
        if "onnect" in str(error) or "oading" in str(error):
            return False
        raise


def servers_of(var):
    """Command lines of live processes that name this folder or its servers' home."""
    home = Places.under(var).recall().get("home", str(var))
    listed = subprocess.run(
        ["/bin/ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True
    )
    return [
        line
        for line in listed.stdout.splitlines()
        if (str(var) in line or str(home) in line)
        and any(name in line for name in ("postgres", "valkey", "guardian"))
        and "-c" not in line.split()[1:2]
    ]


def home_of(var):
    return Path(str(Places.under(var).recall()["home"]))


def guardian_of(var):
    return int(json.loads(Places.under(var).state.read_text())["guardian"])


def server_pid(var, name):
    file = {"postgres": "postgres/data/postmaster.pid", "valkey": "valkey/valkey.pid"}[name]
    try:
        pid = int((home_of(var) / file).read_text().split("\n")[0])
    except (FileNotFoundError, ValueError):
        return 0
    return pid if command_of(pid) else 0


def start_orphan(home):
    """A postmaster that no guardian knows, as after a kill -9 where the kernel tells nobody."""
    sleeper = shutil.which("sleep")
    link = home / "postgres" / "data" / "postmaster.pid"
    orphan = subprocess.Popen(
        ["postgres -D " + str(home / "postgres" / "data"), "60"], executable=sleeper
    )
    plant(link, f"{orphan.pid}\n")
    return orphan


def forget(var, key):
    memory = Places.under(var).recall()
    del memory[key]
    Places.under(var).memory.write_text(json.dumps(memory))


def plant(path, text):
    """Writes as root or as the owner, and keeps the owner."""
    owner = path.parent.stat()
    path.write_text(text)
    os.chown(path, owner.st_uid, owner.st_gid)
