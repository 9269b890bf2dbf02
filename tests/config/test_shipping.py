"""What is shipped: the image's files and commands, run here without an engine for containers."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests.processes import answers, running, wait_until
from tests.stripe_simulator.process import free_port

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COPIED = re.findall(r"^COPY (?!--from|requirements)(.+)$", DOCKERFILE, re.MULTILINE)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The folder /app, as the Dockerfile's COPY lines and its build command make it."""
    app = tmp_path_factory.mktemp("image") / "app"
    app.mkdir()
    for line in COPIED:
        *sources, target = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.mo")
                shutil.copytree(ROOT / source, app / target, ignore=ignored)
            else:
                shutil.copy(ROOT / source, app / target)
    build = re.search(r"^RUN env (.+?)(?=^\n)", DOCKERFILE + "\n", re.MULTILINE | re.DOTALL)
    assert build is not None
    command = "env " + build[1].replace("\\\n", " ").replace("python ", f"{sys.executable} ")
    subprocess.run(["/bin/sh", "-c", command], cwd=app, check=True, env=bare(), capture_output=True)
    return app


def bare():
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def command_of_the_image():
    found = re.findall(r"^CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    return json.loads(found[-1])


def test_the_image_holds_no_tests_no_simulator_and_no_secret(image):
    assert not (image / "tests").exists()
    assert not [path for path in image.rglob("*") if path.name in {".env", ".git"}]
    assert list(image.glob("locale/*/LC_MESSAGES/*.mo"))
    assert (image / "staticfiles" / "staticfiles.json").exists()


@pytest.mark.django_db(transaction=True)
def test_the_images_own_command_serves_pages_and_calls(image, redis_server):
    port = free_port()
    program, *options = command_of_the_image()
    options[options.index("8000")] = str(port)
    path = str(Path(sys.executable).parent / program)

    with running(path, *options, cwd=image):
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), seconds=60)
        vietnamese = {"Accept-Language": "vi"}
        page = httpx.get(f"http://127.0.0.1:{port}/accounts/login/", headers=vietnamese, timeout=20)

    assert 'lang="vi"' in page.text
    assert "Đăng nhập" in page.text


def test_every_process_of_the_procfile_is_a_service_of_the_compose_file():
    lines = (ROOT / "Procfile").read_text().splitlines()
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]

    processes = dict(line.split(": ", 1) for line in lines)

    assert processes.keys() <= services.keys()
    for name in ("worker", "beat"):
        assert shlex.split(services[name]["command"]) == shlex.split(processes[name])
    release = " ".join(shlex.split(services["release"]["command"])[-1].split())
    assert release == processes["release"]


def test_the_compose_file_gives_every_process_the_same_image_and_no_way_to_write():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]

    ours = [services[name] for name in ("release", "web", "worker", "beat")]

    assert {service["image"] for service in ours} == {"ledgerline"}
    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in ours)
    assert all("SECRET" not in name for service in ours for name in service["environment"])
