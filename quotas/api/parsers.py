"""The strict JSON of the usage calls, for Django REST framework."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from quotas.api import bodies


class StrictJSONParser(BaseParser):
    """The same parser as the hot path's, so that both answer alike."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> bodies.Body:
        return bodies.parse(stream.read(bodies.LARGEST_BODY + 1))
