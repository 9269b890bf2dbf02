"""Everything people read exists in Vietnamese, with the same numbers and names in it."""

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from config import messages

VIETNAMESE = Path(__file__).resolve().parents[2] / "locale" / "vi" / "LC_MESSAGES" / "django.po"
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w+\}")


@pytest.fixture(scope="module")
def vietnamese():
    with VIETNAMESE.open("rb") as file:
        return read_po(file, locale="vi")


def strings(message):
    return message.string if isinstance(message.string, tuple | list) else (message.string,)


def test_no_string_of_the_pages_is_untranslated(vietnamese):
    wanted = {message.id for message in messages.collect() if message.id}

    translated = {message.id for message in vietnamese if message.id and all(strings(message))}

    assert wanted - translated == set(), "run `make messages`, then fill in what it found"


def test_no_translation_is_doubtful(vietnamese):
    assert [message.id for message in vietnamese if message.id and message.fuzzy] == []


def test_a_translation_names_exactly_what_its_original_names(vietnamese):
    wrong = []
    for message in vietnamese:
        originals = message.id if isinstance(message.id, tuple) else (message.id,)
        expected = set(PLACEHOLDER.findall(originals[-1]))
        wrong += [s for s in strings(message) if set(PLACEHOLDER.findall(s)) != expected]

    assert wrong == []
