"""docs/security.md misses no requirement, claims nothing without a test, and gives reasons."""

import re
from pathlib import Path

from tests.architecture.test_docs import TEST, names_of_tests

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (V[\d.]+) \| (.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)
# ASVS 5.0.0, levels 1 and 2: sections, and how many requirements each has there.
SECTIONS = {
    "V1": (2, 9, 11, 3, 2), "V2": (3, 3, 4, 1), "V3": (0, 2, 4, 6, 5, 0, 2), "V4": (3, 1, 2, 4),
    "V5": (1, 3, 2, 3), "V6": (3, 12, 4, 4, 5, 3, 0, 4), "V7": (3, 4, 2, 5, 2, 2),
    "V8": (2, 3, 1, 1), "V9": (3, 4), "V10": (2, 2, 4, 11, 5, 2, 3), "V11": (2, 3, 3, 4, 1, 1),
    "V12": (3, 2, 4), "V13": (1, 5, 2, 5), "V14": (2, 4, 3), "V15": (3, 3, 7),
    "V16": (1, 5, 4, 3, 3), "V17": (1, 4, 2),
}  # fmt: skip
REQUIREMENTS = {
    f"{chapter}.{section}.{number}"
    for chapter, sizes in SECTIONS.items()
    for section, size in enumerate(sizes, start=1)
    for number in range(1, size + 1)
}
WITHOUT_TEST = {"partly", "operator", "not applicable"}


def rows():
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    return [found.groups() for found in ROW.finditer(text)]


def claimed_by(key):
    return {each for each in REQUIREMENTS if each == key or each.startswith(f"{key}.")}


def test_every_requirement_of_both_levels_has_exactly_one_row():
    claimed = [each for key, *_rest in rows() for each in claimed_by(key)]

    assert len(REQUIREMENTS) == 253
    assert sorted(claimed) == sorted(REQUIREMENTS)


def test_what_holds_names_a_test_and_what_does_not_gives_its_reason():
    silent = [
        key
        for key, _what, state, shown in rows()
        if not (TEST.search(shown) if state == "holds" else state in WITHOUT_TEST and shown)
    ]

    assert silent == []


def test_a_whole_section_is_only_left_out_where_it_does_not_apply():
    whole = {key: state for key, _what, state, _shown in rows() if key not in REQUIREMENTS}

    assert set(whole.values()) <= {"not applicable", "operator"}


def test_every_named_test_exists():
    named = {found for *_row, shown in rows() for found in TEST.findall(shown)}

    missing = [each for each in named if each[1] not in names_of_tests(ROOT / "tests" / each[0])]

    assert len(named) > 80
    assert missing == []


def test_the_days_until_a_weak_part_is_replaced_are_said():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")

    assert re.search(r"critical[^.]*\b7 days", text)
    assert re.search(r"others[^.]*\b30 days", text)
