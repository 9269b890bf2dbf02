"""A satellite over HTTP, through Django REST framework or through the hot path."""

import json
from dataclasses import dataclass
from posixpath import normpath
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.test import RequestFactory

from config.problems import problem
from quotas import hot_path


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


class SatelliteClient:
    """`front` False leaves the hot path out, so that Django answers."""

    def __init__(self, secret: str | None, *, front: bool) -> None:
        self.secret = secret
        self.front = front
        application = get_wsgi_application()
        self.application = hot_path.in_front_of(application, problem) if front else application

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.send("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.send("PUT", path, body, **headers)

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, b"", **headers)

    def send(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        content_type: str = "application/json",
        **headers: str,
    ) -> Answer:
        """A body of bytes is sent as it is."""
        raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        if self.secret is not None:
            headers.setdefault("authorization", f"Bearer {self.secret}")
        path, _mark, query = path.partition("?")
        request = RequestFactory(headers=headers).generic(
            method,
            normpath(f"/api/v1/{path}"),
            raw,
            content_type=content_type,
            QUERY_STRING=query,
        )
        seen: dict[str, Any] = {}

        def start_response(status: str, found: list[tuple[str, str]], *_rest: Any) -> Any:
            seen["status"], seen["headers"] = int(status[:3]), dict(found)

        chunks = self.application(request.environ, start_response)
        content = b"".join(chunks)
        if hasattr(chunks, "close"):
            chunks.close()
        return Answer(seen["status"], seen["headers"], content)
