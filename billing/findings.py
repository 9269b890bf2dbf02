"""What a check of the installation found: for people, for programs, and as evidence."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from billing.redaction import redact


class Outcome(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`hint` says what to do about it."""

    name: str
    outcome: Outcome
    said: str
    hint: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


Check = Callable[[], Finding | Iterable[Finding]]


def ok(name: str, said: str) -> Finding:
    return Finding(name=name, outcome=Outcome.OK, said=said)


def warning(name: str, said: str, hint: str = "") -> Finding:
    return Finding(name=name, outcome=Outcome.WARNING, said=said, hint=hint)


def failed(name: str, said: str, hint: str = "") -> Finding:
    return Finding(name=name, outcome=Outcome.FAILED, said=said, hint=hint)


def skipped(name: str, said: str) -> Finding:
    return Finding(name=name, outcome=Outcome.SKIPPED, said=said)


def run(checks: Iterable[Check]) -> Iterator[Finding]:
    """A check that breaks is a finding too, and keeps no other from being made."""
    for check in checks:
        name = check.__name__.replace("_", "-")
        try:
            found = check()
            rows = [found] if isinstance(found, Finding) else list(found)
        except Exception as error:  # noqa: BLE001  whatever is broken is what we look for
            yield failed(name, f"could not be checked: {redact(repr(error))[:300]}")
            continue
        yield from rows


def passed(found: Iterable[Finding], *, strict: bool = False) -> bool:
    """Nothing failed; with `strict` nothing warns either."""
    bad = {Outcome.FAILED, Outcome.WARNING} if strict else {Outcome.FAILED}
    return not any(each.outcome in bad for each in found)


def summary(found: Iterable[Finding]) -> str:
    outcomes = [each.outcome for each in found]
    return ", ".join(f"{outcomes.count(kind)} {kind}" for kind in Outcome if kind in outcomes)
