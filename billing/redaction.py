"""Cuts secrets out of text that is stored or shown (A35).

Keys of Stripe, tokens of ours, what stands in the links of our mails, and numbers of cards.
"""

import re
from typing import Final

_SECRET = re.compile(r"\b((?:sk|rk)_(?:test|live)_|whsec_|ll[ps]_)[A-Za-z0-9_\-+/=*]{4,}")
# An invitation, a confirmation of an address, a new password: the path is the secret.
_LINK = re.compile(r"(/invitations/|/confirm-email/|/password/reset/key/)(?!done/)[^/\s\"']{8,}")

NUMBER_REMOVED: Final = "[card number removed]"
# 13 to 19 digits in one piece, or in the groups that cards are printed in.
_CARD_LIKE = re.compile(
    r"(?<![\w-])(?:[2-6]\d{12,18}|[2-6]\d{3}(?:[ .-]\d{4}){3}(?:[ .-]\d{1,3})?"
    r"|3\d{3}[ .-]\d{6}[ .-]\d{4,5})(?![\w-])"
)


def redact(text: str) -> str:
    """Cut every secret in a text to its recognisable prefix."""
    cut = _LINK.sub(r"\1[redacted]", _SECRET.sub(r"\1[redacted]", text))
    return without_card_numbers(cut)


def holds_secret(text: str) -> bool:
    """Whether somebody put a key of Stripe's or a token of ours where it does not belong."""
    return "_" in text and _SECRET.search(text) is not None


def without_card_numbers(text: str) -> str:
    return _CARD_LIKE.sub(_removed, text)


def _removed(found: re.Match[str]) -> str:
    digits = [int(digit) for digit in found[0] if digit.isdigit()]
    return NUMBER_REMOVED if _adds_up(digits) else found[0]


def _adds_up(digits: list[int]) -> bool:
    """Luhn's check, which every card number passes and nine of ten other numbers do not."""
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
