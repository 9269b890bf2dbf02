"""`check` for an event loop: from what this process holds, and never twice for the same words.

Satellites ask the same question again and again. Its answer is kept as bytes for as long as the
reading that it was made from is the one at hand; a reading lives a second at most.
"""

import os
from typing import NamedTuple

import orjson

from quotas.api import bodies, calls
from quotas.api.bearers import Bearer
from quotas.engine import counters, enforcement
from quotas.engine.counters import Place
from quotas.engine.readings import Reading, decide

MOST_KNOWN = 20_000
LONGEST_QUESTION = 1_000  # bytes: the longest member and organization fit


class _Known(NamedTuple):
    bearer: Bearer
    place: Place
    reading: Reading
    answer: bytes


_known: dict[bytes, _Known] = {}


def answer(raw: bytes, bearer: Bearer) -> bytes | None:
    """The body of the reply; None where somebody would have to be waited for. Raises as `check`
    does for mistakes, and WouldWait."""
    found = _known.get(raw)
    if (
        found is not None
        and found.bearer == bearer
        and counters.is_at_hand(found.place, found.reading)
    ):
        return found.answer
    organization, line = calls.question(bearer, bodies.parse(raw))
    reading = enforcement.at_hand(organization, line)
    if reading is None:
        return None
    made = orjson.dumps(calls.check_body(decide(reading, organization, line)))
    if len(raw) <= LONGEST_QUESTION:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        place = (organization, line.meter, line.member if reading.per_member else "")
        _known[raw] = _Known(bearer, place, reading, made)
    return made


forget = _known.clear
os.register_at_fork(after_in_child=forget)
