"""Reports over the whole installation, counted once in some minutes however often they are read.

What is kept is the text between `{% cache kept.seconds … kept.key %}` and its end.
"""

from dataclasses import dataclass
from typing import Final

from django.core.cache import cache
from django.core.cache.utils import make_template_fragment_key
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language

SECONDS: Final = 300


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Give the template its figures lazily, or nothing is saved."""

    key: str
    query: str  # what was asked, to be asked again
    seconds: int = SECONDS

    @property
    def minutes(self) -> int:
        return self.seconds // 60


def kept(request: HttpRequest, fragment: str, **asked: int) -> Kept:
    """One text for every language, time zone and question; `?again` has it counted anew."""
    query = "".join(f"{name}={value}&" for name, value in asked.items())
    key = f"{get_language()}|{timezone.get_current_timezone_name()}|{query}"
    if "again" in request.GET:
        cache.delete(make_template_fragment_key(fragment, [key]))
    return Kept(key=key, query=query)
