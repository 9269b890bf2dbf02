"""What fuzzing starts from, and whatever it has found: refused or read, never a crash."""

import random

import pytest

from tests.fuzzing.targets import TARGETS, seeds

BENT = 40  # copies of each with some bytes changed


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_in_the_corpus_is_more_than_refused(name):
    target = TARGETS[name]
    for seed in seeds(name):
        target(seed)


def test_nor_is_what_lies_near_it():
    chance = random.Random(7)  # noqa: S311 (the same again is wanted)
    for name in ("webhook", "licence", "usage"):
        for seed in seeds(name):
            for _ in range(BENT):
                bent = bytearray(seed[:400])
                for _ in range(chance.randint(1, 5)):
                    bent[chance.randrange(len(bent))] = chance.randrange(256)
                TARGETS[name](bytes(bent))
