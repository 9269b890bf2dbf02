"""The demo as a person runs it: a process of its own, started twice, stopped by Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from config.demo import environment, summary
from config.demo.progress import Progress
from config.embedded import BASE_DIR, reset
from config.embedded.processes import wait_for
from tests import children

pytestmark = pytest.mark.early

KEYS = {
    "base_url",
    "simulator_url",
    "webhook_url",
    "webhook_secret",
    "stripe_api_key",
    "service_token",
    "organizations",
    "logins",
}


@dataclass
class Run:
    """What the first start left behind, and the second start, which is still running."""

    first_summary: dict[str, Any]
    left_by_the_first: list[str]
    output: str
    summary_path: Path

    @property
    def summary(self):
        return json.loads(self.summary_path.read_text())

    def login(self, role, plan=None):
        plans = {each["slug"]: each["plan"] for each in self.first_summary["organizations"]}
        return next(
            each
            for each in self.first_summary["logins"]
            if each["role"] == role and plan in {None, plans[each["organization"]]}
        )

    def call(self, method, path, login, **body):
        return httpx.request(
            method,
            self.summary["base_url"] + path,
            json=body or None,
            headers={"Authorization": f"Bearer {login['api_token']}"},
            timeout=30,
            trust_env=False,
        )


@pytest.fixture(scope="module")
def run():
    with TemporaryDirectory(prefix="ledgerline-demo-") as name:
        var = Path(name)
        var.chmod(0o755)
        with demo(var) as first:
            output = ready(first)
            first_summary = json.loads((var / "demo.json").read_text())
        left = processes_naming(var)
        with demo(var) as second:
            output = ready(second)
            yield Run(first_summary, left, output, var / "demo.json")
        assert wait_for(lambda: not processes_naming(var), seconds=10)
        reset(var)


def test_demo_json_has_exactly_the_agreed_keys(run):
    assert set(run.summary) == KEYS
    assert {key for each in run.summary["organizations"] for key in each} == {"slug", "id", "plan"}
    assert {key for each in run.summary["logins"] for key in each} == {
        "email",
        "password",
        "api_token",
        "organization",
        "role",
    }


def test_demo_json_holds_secrets_and_is_its_owners_alone(run):
    assert run.summary_path.stat().st_mode & 0o077 == 0


def test_there_is_an_organization_on_each_plan(run):
    plans = {each["plan"] for each in run.first_summary["organizations"]}

    assert plans == {"hobby", "pro", "enterprise"}


@pytest.mark.parametrize("role", ["owner", "admin", "member", "system_admin"])
def test_every_role_has_a_login_whose_token_works(run, role):
    login = run.login(role)

    answer = run.call("GET", "/api/v1/billing/status", login)

    assert answer.status_code == 200
    assert answer.json()["organization"] == login["organization"]


def test_a_password_opens_the_pages(run):
    login = run.login("owner")
    with httpx.Client(base_url=run.summary["base_url"], trust_env=False) as browser:
        page = browser.get("/accounts/login/")
        token = page.text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]

        answer = browser.post(
            "/accounts/login/",
            data={
                "csrfmiddlewaretoken": token,
                "login": login["email"],
                "password": login["password"],
            },
            headers={"Origin": run.summary["base_url"]},
        )

        assert answer.status_code == 302
        billing = browser.get(f"/o/{login['organization']}/settings/billing/")
        assert billing.status_code == 200


def test_a_plan_is_on_moments_after_it_was_paid(run):
    login = run.login("owner", plan="hobby")
    opened = run.call("POST", "/api/v1/billing/checkout", login, tier="pro", seats=1)
    session = opened.json()["checkout_url"].rstrip("/").rpartition("/")[2].partition("#")[0]
    complete = f"{run.summary['simulator_url']}/_sim/checkout/{session}/complete"

    paid = httpx.post(complete, json={"card": "success"}, timeout=30, trust_env=False)

    assert paid.status_code == 200, paid.text
    assert wait_for(
        lambda: run.call("GET", "/api/v1/billing/status", login).json()["tier"] == "pro", seconds=15
    )


def test_ctrl_c_leaves_nothing_behind(run):
    assert run.left_by_the_first == []


def test_the_second_start_keeps_the_data(run):
    moved = {"base_url", "simulator_url", "webhook_url"}  # its ports are others

    kept = {key: run.summary[key] for key in KEYS - moved}

    assert kept == {key: run.first_summary[key] for key in KEYS - moved}


def test_the_output_names_the_address_and_every_login(run):
    assert run.summary["base_url"] in run.output
    for login in run.summary["logins"]:
        assert login["email"] in run.output


def test_a_second_demo_on_the_same_folder_is_refused(run):
    with demo(run.summary_path.parent) as second:
        output, _ = second.communicate(timeout=60)

    assert second.returncode == 1
    assert "A demo already runs" in output


def test_a_taken_port_is_named_with_the_variable_that_changes_it(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with demo(tmp_path, PORT=str(port)) as process:
            output, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert f"Port {port} is in use" in output
    assert f"make demo PORT={port + 100}" in output
    reset(tmp_path)


def test_a_live_key_is_refused(tmp_path):
    with demo(tmp_path, STRIPE_SECRET_KEY="sk_live_" + "0" * 24) as process:
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "a live key moves real money" in output


def test_data_of_the_simulator_is_not_taken_to_stripe(tmp_path, monkeypatch):
    monkeypatch.setenv("LEDGERLINE_VAR", str(tmp_path))
    monkeypatch.setenv("STRIPE_SECRET_KEY", "")
    environment.read().remember(made_for="the simulator with CATALOG=suite")

    with demo(tmp_path, STRIPE_SECRET_KEY="sk_test_" + "0" * 24) as process:
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "was made for the simulator" in output


@pytest.mark.django_db
def test_with_stripe_itself_the_command_that_delivers_its_events_is_printed(tmp_path, capsys):
    demo = environment.DemoEnvironment(tmp_path, 8000, 8001, uses_stripe_itself=True)

    summary.show(demo, Progress())

    printed = capsys.readouterr().out
    assert "stripe listen --forward-to http://127.0.0.1:8000/webhooks/stripe" in printed


@contextmanager
def demo(var, **variables):
    """`manage.py demo` with nothing of this test run in its environment; Ctrl-C at the end."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    places = {
        "LEDGERLINE_VAR": str(var),
        "PORT": str(free_port()),
        "SIMULATOR_PORT": str(free_port()),
    }
    process = subprocess.Popen(
        [sys.executable, "manage.py", "demo"],
        cwd=BASE_DIR,
        env=kept | places | children.measured() | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def ready(process):
    """Reads until the demo says that Ctrl-C stops it; a demo that ends early fails the test."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            return "".join(lines)
    pytest.fail("".join(lines))


def processes_naming(folder):
    listed = subprocess.run(
        ["/bin/ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True
    )
    return [line for line in listed.stdout.splitlines() if str(folder) in line]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
