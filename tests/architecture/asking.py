"""One request of the matrix: sent, judged, undone. Complaints are collected, one line each."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.db import connection, transaction
from django.test import Client

from tests.architecture.url_rules import SAFE, Rule, Who, rules_of
from tests.architecture.urlconf import Route

JSON_CALLS = {Who.CALLER, Who.TOKEN_OR_PERSON, Who.SATELLITE}
STRICT = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass
class Ask:
    """What one caller's requests are answered with; `complaints` is empty when all is well."""

    client: Client
    complaints: list[str] = field(default_factory=list)

    def expect(
        self, status: int, method: str, route: Route, samples: dict[str, str], as_of: str = ""
    ) -> None:
        """`as_of` names the organization of an API call; its own is the default."""
        rule = rules_of(route.pattern)[0]
        cookies = deepcopy(self.client.cookies)  # a logout must not end the others' session
        with undone():
            response = self.client.generic(
                method, **_content(rule, method, route, samples, as_of or samples["slug"])
            )
        self.client.cookies = cookies
        line = f"{method} {route.pattern} {as_of}".strip()
        if response.status_code != status:
            self.complaints.append(f"{line}: {response.status_code} instead of {status}")
        self.judge_headers(response, line)

    @property
    def report(self) -> str:
        return "\n".join(self.complaints)

    def judge_headers(self, response: Any, line: str) -> None:
        if response.get("X-Request-Id", "") == "":
            self.complaints.append(f"{line}: no id of the request")
        policy = response.get("Content-Security-Policy", "")
        if "frame-ancestors 'none'" not in policy or "unsafe" in policy:
            self.complaints.append(f"{line}: a weak Content-Security-Policy “{policy}”")
        for name, value in STRICT.items():
            if response.get(name) != value:
                self.complaints.append(f"{line}: {name} is {response.get(name)}")
        if "no-store" not in response.get("Cache-Control", ""):
            self.complaints.append(f"{line}: may be stored ({response.get('Cache-Control')})")


@contextmanager
def undone() -> Iterator[None]:
    """What a request changed is taken back, so that the next one meets the same world."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def rows_written() -> dict[str, int]:
    """Per table, the rows that this transaction inserted, updated or deleted; undone ones too."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_xact_user_tables"
            " WHERE schemaname = 'public'"
        )
        return dict(cursor.fetchall())


def _content(
    rule: Rule, method: str, route: Route, samples: dict[str, str], organization: str
) -> dict[str, Any]:
    path = route.url(samples)
    if rule.query:
        path += "?" + rule.query.format(**samples)
    if rule.who is Who.CALLER and method in SAFE:
        path += f"?organization={organization}"
    if method in SAFE:
        return {"path": path}
    if rule.who in JSON_CALLS:
        in_body = rule.who is not Who.TOKEN_OR_PERSON and not route.arguments
        named = {"organization": organization} if in_body else {}
        body = json.dumps(named | dict(rule.body))
        return {"path": path, "data": body, "content_type": "application/json"}
    form = "application/x-www-form-urlencoded"
    return {"path": path, "data": urlencode(rule.body), "content_type": form}
