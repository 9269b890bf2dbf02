"""What differs between catalogues is their files, never code; and the tree names no machine."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.catalog import loading

ROOT = Path(__file__).resolve().parents[2]
APPS = ("orgs", "billing", "quotas", "config")
# Words that catalogues share with the field: in code they mean no plan and no catalogue.
FIELD_WORDS = {
    "team": "a kind of organization",
    "free": "a kind of plan: one without a price",
    "tokens": "API tokens",
}
EXCUSED = {
    ("config/settings.py", "suite"): "the default of CATALOG",
    ("config/demo/environment.py", "suite"): "the default of CATALOG",
    ("config/variables.py", "suite"): "the default of CATALOG",
    ("orgs/models.py", "sessions"): "those that people sign in with",
    ("orgs/retention.py", "sessions"): "those that people sign in with",
    ("orgs/urls.py", "sessions"): "those that people sign in with",
    ("orgs/views/sessions.py", "sessions"): "those that people sign in with",
    ("billing/api/serializers.py", "pro"): "an example in the API's reference",
    ("quotas/api/schemas.py", "pro"): "an example in the API's reference",
}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        [
            "/usr/bin/env",
            "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            *patterns,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def names_of_catalogues() -> set[str]:
    """Keys of catalogues and plans, and every name that a plan has in any language."""
    names = set(loading.shipped())
    for shipped in loading.shipped():
        for key, plan in loading.load(loading.path_of(shipped)).plans.items():
            names |= {key, *plan.name.root.values()}
    return {name.lower() for name in names} - set(FIELD_WORDS)


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every string literal of a module that is one word, and every word in back quotes in one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for word in {node.value, *re.findall(r"`([\w-]+)`", node.value)}:
                yield node.lineno, word.lower()


def test_code_names_no_catalogue_and_no_plan():
    names = names_of_catalogues()

    named = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for app in APPS
        for path in tracked(f"{app}/**.py")
        if "migrations" not in path.parts
        for line, word in words_of(path)
        if word in names and (str(path.relative_to(ROOT)), word) not in EXCUSED
    ]

    assert named == []


def test_every_excuse_is_still_needed():
    unused = [
        (name, word)
        for name, word in EXCUSED
        if word not in {found for _line, found in words_of(ROOT / name)}
    ]

    assert unused == []


def test_templates_name_no_catalogue_and_no_plan():
    names = names_of_catalogues()

    named = [
        f"{path.relative_to(ROOT)}: {found}"
        for path in tracked("templates/**.html", "templates/**.txt")
        for found in re.findall(r"[\"'>]\s*([\w -]+?)\s*[\"'<]", path.read_text(encoding="utf-8"))
        if found.lower() in names
    ]

    assert named == []


@pytest.mark.parametrize(
    "forbidden",
    [
        r"py" r"pi\.org",
        r"python" r"hosted\.org",
        r"registry\.npm" r"js\.org",
        r"registry\." r"yarnpkg",
        r"/wo" r"rk/(main|shared)",
        r"/ro" r"ot/",
        r"/ho" r"me/\w+/",
        r"/Use" r"rs/\w+/",
    ],
)
def test_the_tree_names_no_package_registry_and_no_machine(forbidden):
    pattern = re.compile(forbidden)

    named = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in tracked()
        for found in pattern.finditer(_text(path))
    ]

    assert named == []


def _text(path: Path) -> str:
    """Empty for fonts and pictures."""
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode("utf-8", "replace")
