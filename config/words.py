"""A product's own word for its organizations (`[words]` of the catalogue), on every page and mail.

Done where texts are translated, so that no page needs to know: what says "organization" or
"workspace" says the catalogue's word, in each language.
"""

import re
from collections.abc import Mapping
from gettext import GNUTranslations
from io import BytesIO
from typing import Any, Final

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from django.conf import settings
from django.utils.translation import trans_real

from billing import catalog
from billing.catalog import CatalogInvalid

_ENGLISH: Final = re.compile(r"(?<!%\()\b(?:(an?) )?(organization|workspace)(s?)\b", re.IGNORECASE)
_VIETNAMESE: Final = re.compile(r"tổ chức|không gian làm việc", re.IGNORECASE)


def adopt() -> None:
    """Once per process, when the apps are loaded. The word itself is the catalogue's promise."""
    try:
        word = catalog.current().words.get("organization")
    except CatalogInvalid:  # the system check says so
        return
    if word is None:
        return
    for language, _name in settings.LANGUAGES:
        known = _texts(language)
        changed = {text: spoken(said, word.say(language), language) for text, said in known.items()}
        changed = {text: said for text, said in changed.items() if said != known[text]}
        trans_real.translation(language).merge(_translations(language, changed))


def spoken(text: str, word: str, language: str) -> str:
    """“An organization's owner” → “A workspace's owner”. Names of placeholders stay."""
    if language.startswith("vi"):
        return _VIETNAMESE.sub(lambda found: _cased(word, like=found[0]), text)
    return _ENGLISH.sub(lambda found: _english(found, word), text)


def _english(found: re.Match[str], word: str) -> str:
    noun = _cased(f"{word}{found[3]}", like=found[2])
    if found[1] is None:
        return noun
    article = "an" if word[0] in "aeiou" else "a"
    return f"{_cased(article, like=found[1])} {noun}"


def _cased(word: str, *, like: str) -> str:
    return word[0].upper() + word[1:] if like[0].isupper() else word


def _texts(language: str) -> dict[str, str]:
    """Our sentences as the language has them; those of the source are their own translation."""
    ours: dict[str, str] = {}
    for code, _name in settings.LANGUAGES:
        entries: Any = trans_real.translation(code)
        found = (text for text, _said in entries._catalog.items())  # noqa: SLF001
        ours |= {text: text for text in found if isinstance(text, str) and text}
    said = trans_real.translation(language)
    return {text: said.gettext(text) for text in ours if _ENGLISH.search(text)}


def _translations(language: str, texts: Mapping[str, str]) -> GNUTranslations:
    """As if a file had held them: the only way that Django takes translations in."""
    made = Catalog(locale=language)
    for text, said in texts.items():
        made.add(text, said)
    file = BytesIO()
    write_mo(file, made)
    file.seek(0)
    return GNUTranslations(file)
