"""Interleaved rounds: every case once per round, so that a busy minute hits all of them alike."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.benchmarks.load import Generator, Result, Target

CONNECTIONS = (1, 16, 64)
BATCH_CONNECTIONS = 4
BATCH_EVENTS = 1_000

# The echo does the same in every round. Where its rates differ by more, somebody else had the
# machine, and no ratio of the run means anything.
STEADY = 1.5


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    target: Target
    connections: int

    @property
    def label(self) -> str:
        return f"{self.name} @{self.connections}"


@dataclass
class Measured:
    results: list[Result] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return median(result.per_second for result in self.results)

    @property
    def p50_us(self) -> float:
        return median(result.p50_us for result in self.results)

    @property
    def p99_us(self) -> float:
        return median(result.p99_us for result in self.results)

    @property
    def errors(self) -> int:
        return sum(result.errors for result in self.results)


def cases(hot: Path, spread: Path) -> list[Case]:
    found = []
    for connections in CONNECTIONS:
        targets = {
            "echo": Target(path="/bench/echo", organizations=hot),
            "threaded echo": Target(path="/bench/echo", organizations=hot, threaded=True),
            "empty view": Target(path="/bench/view", organizations=hot),
        }
        for where, organizations in (("hot", hot), ("spread", spread)):
            targets |= {
                f"{name} {where}": Target(
                    path=path,
                    verb=verb,
                    organizations=organizations,
                    threaded=path.startswith("/bench/"),
                )
                for name, path, verb in _COMPARED
            }
        found += [Case(name, target, connections) for name, target in targets.items()]
    return found


_COMPARED = (
    ("check", "/api/v1/usage/check", "check"),
    ("consume", "/api/v1/usage/consume", "consume"),
    ("select_for_update", "/bench/select-for-update", "consume"),
    ("conditional update", "/bench/conditional-update", "consume"),
    ("limits on Redis", "/bench/limits", "consume"),
)


def batches(hot: Path, spread: Path) -> list[Case]:
    return [
        Case(
            f"batch {verb} {where}",
            Target(
                path="/api/v1/usage/batch",
                verb=verb,
                events=BATCH_EVENTS,
                organizations=organizations,
            ),
            BATCH_CONNECTIONS,
        )
        for verb in ("consume", "record")
        for where, organizations in (("hot", hot), ("spread", spread))
    ]


def run(
    generator: Generator, chosen: Iterable[Case], *, seconds: float, into: dict[str, Measured]
) -> None:
    """One round. Raises RuntimeError where requests fail three times in a row."""
    for case in chosen:
        lasting = seconds * 2 if case.target.events else seconds  # batches take long each
        result = None
        for _attempt in range(3):
            result = generator.run(case.target, connections=case.connections, seconds=lasting)
            if result.per_second and not result.errors:
                break
        if result is None or result.errors or not result.per_second:
            raise RuntimeError(f"{case.label}: requests fail three times in a row ({result})")
        into.setdefault(case.label, Measured()).results.append(result)


def unsteadiness(found: dict[str, Measured]) -> float:
    """The echo's fastest round over its slowest, at the worst number of connections."""
    echoes = [found[f"echo @{connections}"].results for connections in CONNECTIONS]
    rates = [[result.per_second for result in results] for results in echoes]
    return max(max(each) / min(each) for each in rates)
