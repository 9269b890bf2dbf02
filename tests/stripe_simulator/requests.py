"""How a request's bytes become parameters, and how a repeated one gets its first answer."""

import hashlib
import json
import re
from typing import Any
from urllib.parse import parse_qsl

from tests.stripe_simulator.contract.catalogue import Endpoint
from tests.stripe_simulator.contract.parameters import Mismatch
from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.simulator import DAY, Simulator
from tests.stripe_simulator.store import Obj

# Stripe forgets an idempotency key once it is a day old.
KEY_LIFETIME = DAY
MAX_KEY_LENGTH = 255


def parse_form(text: str) -> Obj:
    """Stripe's bracket notation as nested objects and arrays of text."""
    tree: Obj = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        _place(tree, re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name), value)
    folded: Obj = {name: _fold(value) for name, value in tree.items()}
    return folded


def decode(endpoint: Endpoint, text: str) -> Obj:
    """Typed parameters of an endpoint; raises Stripe's refusal of the first wrong one."""
    try:
        return endpoint.decode(parse_form(text))
    except Mismatch as refused:
        code = refused.kind if refused.kind != "parameter_invalid_enum" else None
        raise StripeError(str(refused), code=code, param=refused.path) from None


def fingerprint(method: str, path: str, text: str) -> str:
    return hashlib.sha256(f"{method} {path} {text}".encode()).hexdigest()


def earlier_answer(sim: Simulator, key: str, mark: str) -> tuple[int, Obj] | None:
    """The first answer given under a key; raises when the key came with other parameters."""
    if len(key) > MAX_KEY_LENGTH:
        raise StripeError(
            "Idempotency keys may be at most 255 characters", kind="idempotency_error"
        )
    row = sim.store.get("_idempotency", key)
    if row is None:
        return None
    if row["created"] + KEY_LIFETIME <= sim.wall_now():
        sim.store.remove("_idempotency", key)
        return None
    if row["mark"] != mark:
        raise StripeError(
            "Keys for idempotent requests can only be used with the same parameters they were "
            f"first used with. Try using a key other than '{key}' if you meant to execute a "
            "different request.",
            kind="idempotency_error",
        )
    return int(row["status"]), json.loads(row["body"])


def remember_answer(sim: Simulator, key: str, mark: str, status: int, body: Obj) -> None:
    row = {
        "mark": mark,
        "status": status,
        "body": json.dumps(body),
        "created": sim.wall_now(),
    }
    sim.store.add("_idempotency", key, row)


def _place(tree: Obj, steps: list[str], value: str) -> None:
    node = tree
    for step in steps[:-1]:
        name = step or str(len(node))
        node = node.setdefault(name, {})
    node[steps[-1] or str(len(node))] = value


def _fold(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(name.isdigit() for name in node):
        return [_fold(node[name]) for name in sorted(node, key=int)]
    return {name: _fold(value) for name, value in node.items()}
