"""Every URL pattern of the site, as one flat list: pages, API, sign-in, admin, health."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import get_resolver, reverse
from django.urls.resolvers import URLPattern, URLResolver

_ARGUMENT = re.compile(r"<(?:\w+:)?(?P<name>\w+)>")


@dataclass(frozen=True)
class Route:
    """A pattern as the URLconf writes it, prefixes included, and the name that reverses to it."""

    pattern: str
    name: str

    @property
    def arguments(self) -> list[str]:
        return _ARGUMENT.findall(self.pattern)

    @property
    def arguments_text(self) -> str:
        return " ".join(found.group() for found in _ARGUMENT.finditer(self.pattern))

    def url(self, samples: dict[str, str]) -> str:
        """Raises KeyError naming the argument that has no sample."""
        arguments = {name: samples[name] for name in self.arguments}
        if self.is_regex:
            return reverse(self.name, kwargs=arguments)
        return "/" + _ARGUMENT.sub(lambda found: arguments[found["name"]], self.pattern)

    @property
    def is_regex(self) -> bool:
        return "^" in self.pattern


def routes() -> list[Route]:
    return list(_walk(get_resolver(), "", ""))


def _walk(resolver: URLResolver, prefix: str, namespace: str) -> Iterator[Route]:
    for entry in resolver.url_patterns:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield Route(pattern, f"{namespace}{entry.name or ''}")
        else:
            inner = f"{entry.namespace}:" if entry.namespace else ""
            yield from _walk(entry, pattern, namespace + inner)
