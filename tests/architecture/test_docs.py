"""What the documents name exists: links, paths, make targets, commands, settings, tests."""

import ast
import re
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest
from django.core.management import get_commands

from config import http_reference
from quotas import client

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
# A name in back quotes that starts with a folder of ours is a path; with `::`, a test in it.
OURS = r"(?:orgs|billing|quotas|config|tests|docs|templates|static|requirements|locale)"
PATH = re.compile(rf"`({OURS}/[\w./*-]+?)/?`")
TEST = re.compile(r"`((?:tests/)?[\w/]+\.py)::(test_\w+)`")
MAKE = re.compile(r"(?:^|[`\s])make ([a-z]+)", re.MULTILINE)
MANAGE = re.compile(r"manage\.py ([a-z_]+)")
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
NAMES = re.compile(r"^from client import (.+)$", re.MULTILINE)
CHECK = re.compile(r"`((?:config|orgs)\.[EW]\d{3})`")
ROW = re.compile(r"^\| ([A-H]\d+) \|.*\| ([^|]*) \|$", re.MULTILINE)
SECTIONS = {"A": 35, "B": 24, "C": 46, "D": 14, "E": 31, "F": 6, "G": 14, "H": 7}
NOT_TARGETS = {"sure"}

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


@each_document
def test_every_link_leads_somewhere(document):
    targets = [link.partition("#")[0] for link in LINK.findall(text_of(document))]
    local = [target for target in targets if target and not target.startswith("http")]

    missing = [target for target in local if not (document.parent / target).exists()]

    assert missing == []


@each_document
def test_every_anchor_is_a_heading(document):
    missing = []
    for link in LINK.findall(text_of(document)):
        target, _hash, anchor = link.partition("#")
        page = document.parent / target if target else document
        if anchor and page.suffix == ".md" and anchor not in anchors_of(page):
            missing.append(link)

    assert missing == []


@lru_cache
def anchors_of(page: Path) -> frozenset[str]:
    """As forges make them of headings: lower case, without marks, blanks as hyphens."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return frozenset(heading.replace(" ", "-") for heading in plain)


@each_document
def test_every_block_of_code_can_be_read(document):
    """Python parses and takes from the client what it has; the shell finds no broken line."""
    for language, block in BLOCK.findall(text_of(document)):
        if language == "python":
            names = NAMES.findall(block)
            assert [n for n in ",".join(names).split(",") if not known_to_client(n)] == []
            ast.parse(block)
        elif language == "sh":
            subprocess.run(["/bin/bash", "-n"], input=block, text=True, check=True)


def known_to_client(name: str) -> bool:
    return not name.strip() or hasattr(client, name.strip())


@each_document
def test_every_path_exists(document):
    missing = [path for path in PATH.findall(text_of(document)) if not list(ROOT.glob(path))]

    assert missing == []


@each_document
def test_every_test_that_is_named_exists(document):
    missing = [
        f"{name}::{test}"
        for name, test in TEST.findall(text_of(document))
        if test not in names_of_tests(ROOT / "tests" / name.removeprefix("tests/"))
    ]

    assert missing == []


@lru_cache
def names_of_tests(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@each_document
def test_every_command_exists(document):
    text = text_of(document)
    makefile = text_of(ROOT / "Makefile")

    targets = [name for name in MAKE.findall(text) if name not in NOT_TARGETS]
    commands = [name for name in MANAGE.findall(text) if name not in get_commands()]

    assert [name for name in targets if f"\n{name}:" not in makefile] == []
    assert commands == []


def test_the_reference_of_the_api_is_current():
    written = text_of(http_reference.PATH)

    assert written == http_reference.page(), "run `manage.py http_reference`"


def test_every_check_is_documented_and_every_documented_check_exists():
    code = text_of(ROOT / "config" / "checks.py") + text_of(ROOT / "orgs" / "checks.py")

    documented = set(CHECK.findall(text_of(ROOT / "docs" / "operations.md")))

    assert documented == set(re.findall(r"id=\"((?:config|orgs)\.[EW]\d{3})\"", code))


def test_every_alert_is_documented():
    raised = {
        found
        for app in ("orgs", "billing", "quotas", "config")
        for path in (ROOT / app).rglob("*.py")
        for found in re.findall(r"\"(alert\.\w+)\"", text_of(path))
    }

    documented = set(re.findall(r"`(alert\.\w+)`", text_of(ROOT / "docs" / "operations.md")))

    assert documented == raised


def test_every_dependency_has_its_reason():
    reasons = text_of(ROOT / "docs" / "decisions" / "0002-dependencies.md").lower()
    lines = text_of(ROOT / "requirements" / "base.in") + text_of(ROOT / "requirements" / "dev.in")
    names = re.findall(r"^([A-Za-z][\w-]*)", lines, re.MULTILINE)

    unexplained = [
        name
        for name in names
        if not re.search(rf"[| ,]{re.escape(name.lower())}[ ,|]", reasons)
        and not re.search(rf", -{re.escape(name.rpartition('-')[2].lower())}[ ,|]", reasons)
    ]

    assert unexplained == []


def test_every_decision_has_a_number_of_its_own_and_a_title_with_it():
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))

    numbers = [path.name[:4] for path in records]

    assert numbers == [f"{n:04d}" for n in range(1, len(records) + 1)]
    assert all(text_of(path).startswith(f"# {path.name[:4]}. ") for path in records)


def test_no_row_of_the_failures_is_silent():
    rows = dict(ROW.findall(text_of(ROOT / "docs" / "failures.md")))

    expected = {f"{section}{n}" for section, size in SECTIONS.items() for n in range(1, size + 1)}

    assert set(rows) == expected
    assert [row for row, shown_by in rows.items() if not shown_by.strip()] == []
