"""Draws worlds, plays them, and finds the shortest one that still breaks what broke."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from tests.simulation import owners, satellites, surroundings
from tests.simulation.books import Broken
from tests.simulation.invariants import at_the_end, look
from tests.simulation.stage import Stage
from tests.simulation.world import Act, Player, Script, Step, World, script

# How often each step comes, and to whom.
WEIGHTS: Final[dict[str, tuple[float, str]]] = {
    "consume": (22, "any"),
    "again": (5, "any"),
    "other body": (2, "any"),
    "group": (4, "any"),
    "record": (6, "any"),
    "release": (5, "any"),
    "release amount": (3, "any"),
    "level": (5, "any"),
    "reserve": (7, "any"),
    "commit": (6, "any"),
    "void": (2, "any"),
    "batch": (5, "any"),
    "check": (5, "any"),
    "stranger": (1, "any"),
    "checkout": (3, "payer"),
    "leave page": (1, "payer"),
    "pack": (2, "payer"),
    "seats": (2, "payer"),
    "another plan": (2, "payer"),
    "addon": (1, "payer"),
    "cancel": (1, "payer"),
    "keep": (1, "payer"),
    "promotion": (1, "payer"),
    "portal": (1, "payer"),
    "trial": (2, "any"),
    "extra usage": (1, "any"),
    "grant": (2, "any"),
    "card": (2, "payer"),
    "pay": (2, "payer"),
    "end now": (1, "payer"),
    "refund": (1, "payer"),
    "dispute": (1, "payer"),
    "deliver": (8, "world"),
    "work": (8, "world"),
    "sweep": (6, "world"),
    "time": (7, "any"),
    "edge": (3, "any"),
    "Stripe fails": (3, "world"),
    "Stripe recovers": (3, "world"),
    "Redis flushed": (1, "world"),
    "Redis lies": (3, "any"),
    "writer killed": (2, "world"),
    "answer lost": (2, "any"),
    "statement cancelled": (1, "any"),
    "head held": (1, "any"),
    "reconcile": (0.5, "world"),
    "look": (1, "world"),
}
REPLAYS: Final = 60  # at most, to make a trace short


def _look(world: World, player: Player, luck: object) -> str:
    look(world)
    return "all is well"


ACTS: Final[dict[str, Act]] = {
    **satellites.ACTS,
    **owners.ACTS,
    **surroundings.ACTS,
    "look": _look,
}


@dataclass(frozen=True)
class Played:
    """A world in which everything held. The same seed has the same digest."""

    script: Script
    digest: str
    done: Counter[str]
    trace: tuple[str, ...]


@dataclass
class Found:
    """A world in which something broke, and the shortest part of it in which it still does."""

    script: Script
    sentence: str
    trace: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        steps = "\n".join(f"  {step}" for step in self.script.steps)
        played = "\n".join(f"  {line}" for line in self.trace)
        return (
            f"seed {self.script.seed} on {self.script.catalogue} breaks: {self.sentence}\n"
            f"the shortest trace has {len(self.script.steps)} steps:\n{steps}\nplayed:\n{played}"
        )


def draw(seed: int, stage: Stage) -> Script:
    return script(seed, WEIGHTS, stage.catalogues)


def play(stage: Stage, chosen: Script) -> Played | Found:
    """Plays all of it. Anything that the product crashes with counts as broken."""
    with stage.world(chosen.catalogue, chosen.seed):
        world = World(stage, chosen)
        try:
            digest = world.play(ACTS, at_the_end)
        except Broken as broken:
            return Found(chosen, str(broken), world.trace)
        except Exception as crash:  # noqa: BLE001  a crash is what we look for
            return Found(chosen, f"{type(crash).__name__}: {crash}", world.trace)
        return Played(chosen, digest, world.done, tuple(world.trace))


def shortest(stage: Stage, found: Found, *, replays: int = REPLAYS) -> Found:
    """Leaves out ever smaller parts as long as the same still breaks."""
    best = _up_to_the_break(stage, found)
    size = max(len(best.script.steps) // 2, 1)
    while size and replays > 0:
        smaller = None
        for start in range(0, len(best.script.steps), size):
            steps = best.script.steps
            left = (*steps[:start], *steps[start + size :])
            replays -= 1
            smaller = _same(stage, best, left)
            if smaller is not None or replays <= 0:
                break
        if smaller is not None:
            best = smaller
            size = min(size, max(len(best.script.steps) // 2, 1))
        else:
            size //= 2
    return best


def _up_to_the_break(stage: Stage, found: Found) -> Found:
    steps: tuple[Step, ...] = found.script.steps[: len(found.trace) + 1]
    return _same(stage, found, steps) or found


def _same(stage: Stage, found: Found, steps: tuple[Step, ...]) -> Found | None:
    again = play(stage, found.script.only(steps))
    if isinstance(again, Played) or _kind(again.sentence) != _kind(found.sentence):
        return None
    return again


def _kind(sentence: str) -> str:
    """The words of a sentence, without its figures."""
    words = sentence.rpartition("): ")[2] or sentence
    return " ".join(words.split()[:5])
