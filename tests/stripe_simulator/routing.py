"""Which function answers which endpoint of the SDK."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.stripe_simulator import rendering
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj


@dataclass(kw_only=True)
class Call:
    """One request: who is asked, the names in its path, its typed parameters."""

    sim: Simulator
    path: dict[str, str]
    params: Obj
    url: str

    def shown(self, body: Obj) -> Obj:
        return rendering.render(self.sim, body)

    def listed(self, bodies: Iterable[Obj], *, newest_first: bool = True) -> Obj:
        """A page of objects: Stripe's cursors, newest first unless said otherwise."""
        found = list(bodies)
        if newest_first:
            found.reverse()
        return paginate(found, self.params, self.url, self.shown)

    def filtered(self, kind: str, *names: str) -> Obj:
        """A page of one kind, narrowed by the parameters that were sent."""
        wanted = {name: self.params[name] for name in names if name in self.params}
        bodies = self.sim.store.scan(kind, **wanted)
        return self.listed(
            body
            for body in bodies
            if not body.get("deleted") and within(body.get("created"), self.params.get("created"))
        )


Handler = Callable[[Call], Obj]
HANDLERS: dict[tuple[str, str], Handler] = {}


def endpoint(method: str, path: str) -> Callable[[Handler], Handler]:
    """Register a handler under the path exactly as the SDK spells it."""

    def register(handler: Handler) -> Handler:
        HANDLERS[method, path] = handler
        return handler

    return register


def path_values(template: str, path: str) -> dict[str, str]:
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
    match = re.fullmatch(pattern, path)
    return match.groupdict() if match else {}


def within(moment: int | None, wanted: Any) -> bool:
    """Whether a time lies in Stripe's `created` filter: a number or a range."""
    if wanted is None or moment is None:
        return True
    if isinstance(wanted, int):
        return moment == wanted
    return bool(
        moment > wanted.get("gt", -1)
        and moment >= wanted.get("gte", 0)
        and moment < wanted.get("lt", float("inf"))
        and moment <= wanted.get("lte", float("inf"))
    )


def paginate(bodies: list[Obj], params: Obj, url: str, shown: Callable[[Obj], Obj]) -> Obj:
    names = [body["id"] for body in bodies]
    start, end = 0, len(bodies)
    if params.get("starting_after") in names:
        start = names.index(params["starting_after"]) + 1
    limit = params.get("limit", 10)
    if params.get("ending_before") in names:
        end = names.index(params["ending_before"])
        more = end - start > limit
        start = max(start, end - limit)
    else:
        more = end - start > limit
        end = min(end, start + limit)
    return {
        "object": "list",
        "data": [shown(body) for body in bodies[start:end]],
        "has_more": more,
        "url": url,
    }


def assign(body: Obj, params: Obj, *names: str) -> Obj:
    """Set sent fields ("" clears one) and metadata; return the attributes as they were."""
    previous: Obj = {}
    for name in names:
        if name in params:
            value = None if params[name] == "" else params[name]
            if body.get(name) != value:
                previous[name] = body.get(name)
                body[name] = value
    if "metadata" in params:
        previous |= _assign_metadata(body, params["metadata"])
    return previous


def _assign_metadata(body: Obj, sent: Any) -> Obj:
    before = dict(body.get("metadata") or {})
    merged = {} if sent == "" else {**before, **sent}
    body["metadata"] = {key: value for key, value in merged.items() if value != ""}
    if body["metadata"] == before:
        return {}
    names = {*before, *body["metadata"]}
    return {"metadata": {name: before.get(name) for name in sorted(names)}}


def metadata_of(params: Obj) -> Obj:
    sent = params.get("metadata")
    return {key: value for key, value in sent.items() if value != ""} if sent else {}
