"""What was promised: every figure as a ratio to something measured in the same run."""

from dataclasses import dataclass

from tests.benchmarks.cost import Cost
from tests.benchmarks.rounds import BATCH_CONNECTIONS, Measured

Results = dict[str, Measured]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`floor` and `aim` are least values, or most where `at_most`."""

    name: str
    ratio: float
    floor: float
    aim: float
    at_most: bool = False

    @property
    def word(self) -> str:
        if self._reaches(self.aim):
            return "pass"
        return "above the floor" if self._reaches(self.floor) else "MISSED"

    def _reaches(self, wanted: float) -> bool:
        return self.ratio <= wanted if self.at_most else self.ratio >= wanted


def verdicts(found: Results, copy: float, insert_us: float, costs: list[Cost]) -> list[Verdict]:
    return [
        *_against_echo(found),
        *_against_others(found),
        *_batches(found, copy),
        _one_connection(found, insert_us),
        *growth(costs),
    ]


def _against_echo(found: Results) -> list[Verdict]:
    said = []
    for connections in (16, 64):
        echo = found[f"echo @{connections}"].per_second
        floor, aim = {16: (0.12, 0.20), 64: (0.20, 0.30)}[connections]
        for where in ("hot", "spread"):
            ratio = found[f"check {where} @{connections}"].per_second / echo
            name = f"check {where} / echo @{connections}"
            said.append(Verdict(name=name, ratio=ratio, floor=0.60, aim=0.60))
            ratio = found[f"consume {where} @{connections}"].per_second / echo
            name = f"consume {where} / echo @{connections}"
            said.append(Verdict(name=name, ratio=ratio, floor=floor, aim=aim))
    return said


def _against_others(found: Results) -> list[Verdict]:
    said = []
    for other, least in (
        ("select_for_update", 5),
        ("conditional update", 3),
        ("limits on Redis", 1),
    ):
        for connections in (16, 64):
            for where in ("hot", "spread"):
                theirs = found[f"{other} {where} @{connections}"].per_second
                ratio = found[f"consume {where} @{connections}"].per_second / theirs
                name = f"consume / {other} {where} @{connections}"
                said.append(Verdict(name=name, ratio=ratio, floor=least, aim=least))
    return said


def _batches(found: Results, copy: float) -> list[Verdict]:
    said = []
    for verb, floor in (("consume", 0.05), ("record", 0.10)):
        for where in ("hot", "spread"):
            rate = found[f"batch {verb} {where} @{BATCH_CONNECTIONS}"].per_second
            name = f"batch {verb} {where} / COPY"
            said.append(Verdict(name=name, ratio=rate / copy, floor=floor, aim=2 * floor))
    return said


def _one_connection(found: Results, insert_us: float) -> Verdict:
    ratio = found["consume hot @1"].p50_us / insert_us
    return Verdict(
        name="consume p50 / INSERT p50 @1", ratio=ratio, floor=2.5, aim=2.5, at_most=True
    )


def growth(costs: list[Cost]) -> list[Verdict]:
    return [
        Verdict(
            name=f"buffers at {_size(cost)} / at {_size(costs[0])}",
            ratio=cost["buffers"] / costs[0]["buffers"],
            floor=1.1,
            aim=1.1,
            at_most=True,
        )
        for cost in costs[1:]
    ]


def _size(cost: Cost) -> str:
    return f"{cost['organizations']:,} organizations and {cost['ledger_rows']:,} rows"
