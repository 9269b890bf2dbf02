"""Every endpoint of the installed SDK, read from the source of its services."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import stripe

from tests.stripe_simulator.contract import parameters, responses
from tests.stripe_simulator.contract.annotations import evaluate, scope
from tests.stripe_simulator.contract.parameters import Mismatch

SDK = Path(stripe.__file__).parent


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One method of the SDK's services and the types its signature names."""

    method: str
    path: str
    module: str
    params: str | None
    returns: str

    def decode(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Typed parameters from the text of a form; raises Mismatch."""
        if self.params is None:
            for name in raw:
                raise Mismatch("parameter_unknown", name, f"Received unknown parameter: {name}")
            return {}
        owner = evaluate(self.params, self.module)
        decoded: dict[str, Any] = parameters.decode(raw, owner, owner)
        return decoded

    def violations(self, body: Any) -> list[str]:
        return responses.violations_of(body, self.returns, scope(self.module), self.returns)


def find_endpoint(method: str, path: str) -> Endpoint | None:
    """The most literal endpoint of the SDK that this method and path match."""
    best: Endpoint | None = None
    for pattern, endpoint in _catalogue().get(method, []):
        if pattern.fullmatch(path) and (
            best is None or endpoint.path.count("{") < best.path.count("{")
        ):
            best = endpoint
    return best


def all_endpoints() -> list[Endpoint]:
    return [endpoint for entries in _catalogue().values() for _, endpoint in entries]


@cache
def _catalogue() -> dict[str, list[tuple[re.Pattern[str], Endpoint]]]:
    entries: dict[str, list[tuple[re.Pattern[str], Endpoint]]] = {}
    for file in sorted(SDK.rglob("_*_service.py")):
        if "v2" in file.relative_to(SDK).parts:
            continue
        module = ".".join(("stripe", *file.relative_to(SDK).with_suffix("").parts))
        for endpoint in _endpoints(ast.parse(file.read_text()), module):
            pattern = re.compile(re.sub(r"\{[^}]+\}", "[^/]+", endpoint.path))
            entries.setdefault(endpoint.method, []).append((pattern, endpoint))
    return entries


def _endpoints(tree: ast.Module, module: str) -> Iterator[Endpoint]:
    for service in tree.body:
        if not isinstance(service, ast.ClassDef):
            continue
        for function in service.body:
            if isinstance(function, ast.FunctionDef):
                yield from _endpoint(function, module)


def _endpoint(function: ast.FunctionDef, module: str) -> Iterator[Endpoint]:
    for call in ast.walk(function):
        if not (isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "_request"):
            continue
        verb, url = call.args[0], call.args[1]
        if isinstance(url, ast.Call) and isinstance(url.func, ast.Attribute):
            url = url.func.value
        if isinstance(verb, ast.Constant) and isinstance(url, ast.Constant):
            yield Endpoint(
                method=str(verb.value).upper(),
                path=str(url.value),
                module=module,
                params=_params_name(function),
                returns=_returns(function),
            )


def _params_name(function: ast.FunctionDef) -> str | None:
    for argument in function.args.args:
        if argument.arg == "params" and argument.annotation is not None:
            match = re.search(r"(\w+Params)", ast.unparse(argument.annotation))
            return match and match.group(1)
    return None


def _returns(function: ast.FunctionDef) -> str:
    assert function.returns is not None
    text = ast.unparse(function.returns)
    return str(ast.literal_eval(text)) if text.startswith(("'", '"')) else text
