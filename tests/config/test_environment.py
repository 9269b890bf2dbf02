"""What can be set: every variable has its meaning, and the documents say what the code does."""

from pathlib import Path

import pytest
from cryptography.fernet import InvalidToken
from django.core.management import call_command

from billing.messages import letters
from config import settings_reference
from config.variables import GROUPS
from quotas.notices import signing

ROOT = Path(__file__).resolve().parents[2]
CODE = ("orgs", "billing", "quotas", "config", "Makefile")


def test_every_variable_that_is_read_has_its_meaning_and_no_other_is_explained():
    read = settings_reference.read_by_the_settings()

    explained = {each.name: each for group in GROUPS for each in group.variables}

    elsewhere = {name for name, each in explained.items() if each.elsewhere is not None}
    assert len(read) > 40
    assert read.keys() - explained.keys() == set()
    assert explained.keys() - elsewhere - read.keys() == set()
    assert [name for name in elsewhere if not is_named_in_code(name)] == []


def is_named_in_code(name):
    files = [path for part in CODE for path in [ROOT / part, *(ROOT / part).rglob("*.*")]]
    sources = [path for path in files if path.suffix in {".py", ".toml"} or path.name == "Makefile"]
    return any(name in path.read_text() for path in sources if path.name != "variables.py")


def test_the_page_of_settings_and_the_example_are_what_the_code_says(capsys):
    with pytest.raises(SystemExit) as ended:
        call_command("settings_reference", check=True)

    assert ended.value.code == 0


def test_what_a_former_key_sealed_is_opened_while_it_is_a_fallback(settings):
    letter = letters._seal().encrypt(b"letter")
    secret = signing.encrypted("whsec_c2VjcmV0")
    former, settings.SECRET_KEY = settings.SECRET_KEY, "another key"

    with pytest.raises(InvalidToken):
        letters._seal().decrypt(letter)
    settings.SECRET_KEY_FALLBACKS = [former]

    assert letters._seal().decrypt(letter) == b"letter"
    assert signing.decrypted(secret) == "whsec_c2VjcmV0"
