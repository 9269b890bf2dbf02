"""JSON over HTTP to this machine, past any proxy the environment names."""

import json
import urllib.error
import urllib.request
from typing import Any

NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
TIMEOUT_SECONDS = 30


class HttpError(RuntimeError):
    """An answer of 400 or above, with its text."""


def answers(url: str) -> bool:
    """True for any answer below 400 within two seconds."""
    try:
        with NO_PROXY.open(url, timeout=2):
            return True
    except OSError:
        return False


def read(url: str, *, token: str = "") -> dict[str, Any]:
    return _call("GET", url, None, token)


def post(url: str, body: dict[str, Any], *, token: str = "") -> dict[str, Any]:
    return _call("POST", url, body, token)


def delete(url: str, *, token: str = "") -> dict[str, Any]:
    return _call("DELETE", url, None, token)


def _call(method: str, url: str, body: dict[str, Any] | None, token: str) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310  our own
    try:
        with NO_PROXY.open(request, timeout=TIMEOUT_SECONDS) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as refused:
        text = refused.read().decode(errors="replace")[:2000]
        raise HttpError(f"{method} {url} answered {refused.code}: {text}") from refused
