"""Every sentence of the documents has its test, and every test its sentence."""

import re

import pytest

from billing.catalog import loading
from tests.architecture.test_docs import ROOT, names_of_tests, text_of

PAGE = ROOT / "docs" / "requirements.md"
ACCEPTANCE = ROOT / "tests" / "requirements"
NAMED = re.compile(r"`requirements/([\w]+\.py)::(test_\w+)`")
SECTION = re.compile(r"^## (\d{3}) .*\(`(\w+)`\)$", re.MULTILINE)
# A sentence, the tests that show it, and where we do otherwise.
ROW = re.compile(r"^\| (?!sentence|---)([^|]+) \| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)

each_document = pytest.mark.parametrize(
    "catalogue", [name for _n, name in SECTION.findall(text_of(PAGE))]
)


def section_of(catalogue: str) -> str:
    """What the page says of one document."""
    parts = SECTION.split(text_of(PAGE))
    return parts[parts.index(catalogue) + 1]


@each_document
def test_every_acceptance_test_shows_a_sentence(catalogue: str):
    file = f"test_{catalogue}.py"
    named = {test for module, test in NAMED.findall(section_of(catalogue)) if module == file}
    written = {name for name in names_of_tests(ACCEPTANCE / file) if name.startswith("test_")}

    assert written - named == set()


@each_document
def test_every_sentence_is_shown_by_a_test(catalogue: str):
    rows = ROW.findall(section_of(catalogue))

    unmapped = [sentence for sentence, shown, _otherwise in rows if not NAMED.search(shown)]

    assert rows
    assert unmapped == []


def test_every_catalogue_has_its_document():
    assert sorted(name for _number, name in SECTION.findall(text_of(PAGE))) == loading.shipped()


def test_no_acceptance_test_is_skipped():
    skipping = re.compile(r"mark\.(skip|skipif|xfail)|pytest\.(skip|xfail)\(")

    skipped = [path.name for path in ACCEPTANCE.glob("*.py") if skipping.search(text_of(path))]

    assert skipped == []
