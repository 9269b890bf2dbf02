import pytest

from quotas.engine.units import shown


@pytest.mark.parametrize(
    ("amount", "display", "words"),
    [
        (1_234_567, "count", "1,234,567"),
        (1_536, "bytes", "1.5 KB"),
        (-(2**30), "bytes", "-1 GB"),
        (2**60, "bytes", "1,024 PB"),
        (59, "duration", "59 s"),
        (90, "duration", "1.5 min"),
        (180_000, "duration", "50 h"),
        (1_500, "millicores", "1.5 vCPU"),
    ],
)
def test_amounts_are_written_in_the_largest_unit_that_they_fill(amount, display, words):
    assert shown(amount, display) == words
