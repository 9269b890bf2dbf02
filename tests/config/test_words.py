"""A product's own word for its organizations is spoken everywhere."""

from typing import Any

import pytest
from django.utils import translation
from django.utils.translation import gettext, trans_real

from config import words


@pytest.fixture
def spoken_again():
    """Django keeps translations per process: what a test merged is forgotten."""
    yield
    kept: Any = trans_real
    kept._translations.clear()
    kept._default = None
    translation.activate("en")


@pytest.mark.parametrize(
    ("word", "text", "spoken"),
    [
        ("account", "This organization's plan", "This account's plan"),
        ("account", "A workspace has a plan.", "An account has a plan."),
        ("workspace", "Organizations need an organization.", "Workspaces need a workspace."),
        ("org", "%(organization)s has the workspace", "%(organization)s has the org"),
        ("org", "reorganization", "reorganization"),
    ],
)
def test_a_sentence_takes_the_word_with_its_article_and_case(word, text, spoken):
    assert words.spoken(text, word, "en") == spoken


def test_vietnamese_has_a_word_of_its_own():
    assert words.spoken("Tổ chức này", "tài khoản", "vi") == "Tài khoản này"


@pytest.mark.parametrize(
    ("language", "spoken"),
    [("en", "This account has had its trial."), ("vi", "Tài khoản này đã dùng thử.")],
)
def test_every_page_and_mail_says_the_catalogues_word(settings, spoken_again, language, spoken):
    settings.CATALOG = "containers"

    words.adopt()

    with translation.override(language):
        assert gettext("This workspace has had its trial.") == spoken


def test_without_a_word_of_its_own_nothing_changes(spoken_again):
    words.adopt()

    assert gettext("This workspace has had its trial.") == "This workspace has had its trial."
