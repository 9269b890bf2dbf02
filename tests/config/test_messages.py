import gettext

import pytest

from config import messages


@pytest.fixture
def root(tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "orgs").mkdir()
    messages.add_languages(["vi"], tmp_path)
    return tmp_path


def test_strings_of_code_and_of_templates_are_collected(root):
    (root / "orgs" / "views.py").write_text('_("Save")\nngettext("%(n)d seat", "%(n)d seats", 2)\n')
    (root / "templates" / "page.html").write_text(
        '<p title="it\'s">{% translate "Members" %}</p>'
        "{% blocktranslate count n=n %}{{ n }} day{% plural %}{{ n }} days{% endblocktranslate %}"
    )

    collected = {message.id for message in messages.collect(root) if message.id}

    assert collected == {
        "Save",
        ("%(n)d seat", "%(n)d seats"),
        "Members",
        ("%(n)s day", "%(n)s days"),
    }


def test_merging_keeps_translations_and_tells_what_is_missing(root):
    po = root / "locale" / "vi" / "LC_MESSAGES" / "django.po"
    po.write_text(po.read_text() + '\nmsgid "Save"\nmsgstr "Lưu"\n')
    (root / "orgs" / "views.py").write_text('_("Save")\n_("Members")\n')

    messages.merge(messages.collect(root), root)

    assert messages.untranslated(root) == ["vi: Members"]


def test_a_compiled_file_is_what_gettext_reads_and_is_written_once(root):
    po = root / "locale" / "vi" / "LC_MESSAGES" / "django.po"
    po.write_text(po.read_text() + '\nmsgid "Save"\nmsgstr "Lưu"\n')

    written = messages.compile_stale(root)

    assert messages.compile_stale(root) == []
    with written[0].open("rb") as compiled:
        assert gettext.GNUTranslations(compiled).gettext("Save") == "Lưu"
