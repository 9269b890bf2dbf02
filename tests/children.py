"""Which programs that a test starts are measured: those that are given `measured()`.

Coverage would measure every one of them, the simulator and each short command, which costs time and
adds nothing: what those run is measured where it is tested.
"""

import os
from typing import Final

_VARIABLE: Final = "COVERAGE_PROCESS_CONFIG"
_asked: dict[str, str] = {}


def measure_none() -> None:
    """Before the first program is started: none of them inherits the wish to be measured."""
    if value := os.environ.pop(_VARIABLE, ""):
        _asked[_VARIABLE] = value


def measured() -> dict[str, str]:
    """Variables for a program whose lines count; none where the run itself is not measured."""
    return dict(_asked)
