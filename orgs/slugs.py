"""Slugs: plain, never reused, never shaped like a UUID."""

import re
import unicodedata

from django.utils.crypto import get_random_string
from django.utils.translation import gettext as _

from orgs.exceptions import SlugTaken, Unprocessable
from orgs.models import SLUG_PATTERN, UUID_PATTERN, Organization, SlugHistory

_MIN_LENGTH, _MAX_LENGTH = 3, 63
_SUFFIX_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


def for_name(name: str) -> str:
    """A free slug that resembles the name; a random ending tells namesakes apart."""
    stem = _plain(name)[:48].strip("-") or "org"
    if len(stem) >= _MIN_LENGTH and not _is_taken(stem) and not re.match(UUID_PATTERN, stem):
        return stem
    ending = get_random_string(6, _SUFFIX_ALPHABET)
    return f"{stem[:48]}-{ending}"


def check(slug: str, *, organization: Organization | None = None) -> str:
    """Raises unless the slug is plain and free, or once was this organization's own."""
    if len(slug) > _MAX_LENGTH or not re.match(SLUG_PATTERN, slug) or re.match(UUID_PATTERN, slug):
        raise Unprocessable(
            _("Use lower-case letters, digits and hyphens, and not the shape of an id."),
            field="slug",
        )
    former = SlugHistory.objects.filter(slug=slug)
    if organization is not None:
        former = former.exclude(organization=organization)
    if former.exists():
        raise taken(slug)
    return slug


def taken(slug: str) -> SlugTaken:
    return SlugTaken(_("The address “%(slug)s” is not available.") % {"slug": slug}, field="slug")


def _plain(name: str) -> str:
    """Latin letters without marks: “Hạ Long Đỏ” becomes “ha-long-do”."""
    folded = name.casefold().replace("đ", "d")
    ascii_only = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")


def _is_taken(slug: str) -> bool:
    return SlugHistory.objects.filter(slug=slug).exists()
