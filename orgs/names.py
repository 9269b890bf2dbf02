"""What people may call themselves, their organizations and their keys: text that shows as it is.

Letters of every script, marks, digits and signs. Not the characters that cannot be seen or that
turn the letters after them around: a name must not pass for another, nor for the end of a line.
"""

import unicodedata
from typing import Final

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

# Persian, Indic scripts and families of emoji are joined by these two.
_JOINERS: Final = frozenset("\u200c\u200d")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_SEEN: Final = frozenset("LNPS")


def shows_as_it_is(name: str) -> None:
    kinds = [unicodedata.category(sign) for sign in name if sign not in _JOINERS]
    if _UNSEEN.isdisjoint(kinds) and (not name or any(kind[0] in _SEEN for kind in kinds)):
        return
    raise ValidationError(_("Use letters, digits and signs that can be seen."), code="unseen")
