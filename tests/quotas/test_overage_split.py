"""Which units of overage are billed, by the owner's choice of their moment. Pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotas.engine.billable import Accounted, billed_units, split
from quotas.models import Overage, UsageLimit

UNITS = st.integers(0, 10**6)


def limit(policy=Overage.BILL, cap=None):
    return UsageLimit(overage=policy, overage_cap=cap)


@pytest.mark.parametrize(
    ("overage", "known", "terms", "billed", "waived"),
    [
        (10, Accounted(), limit(), 10, 0),
        (10, Accounted(10), limit(), 0, 0),
        (15, Accounted(10), limit(cap=12), 2, 3),
        (15, Accounted(10, 5), limit(cap=100), 0, 0),
        (15, Accounted(10), limit(Overage.STOP), 0, 5),
        (15, Accounted(10), limit(Overage.ALLOW), 0, 5),
        (15, Accounted(10), None, 0, 5),
        (4, Accounted(10), limit(), -6, 0),
        (12, Accounted(10, 5), limit(), 0, -3),
        (8, Accounted(10, 5), limit(), -2, -5),
        (15, Accounted(20), limit(cap=1), -5, 0),
    ],
)
def test_each_unit_is_judged_once(overage, known, terms, billed, waived):
    found = split(overage, known, terms)

    assert (found.billed, found.waived) == (billed, waived)


@given(UNITS, UNITS, UNITS, st.sampled_from(Overage.values), st.none() | UNITS)
def test_the_account_always_adds_up_and_no_cap_is_passed(overage, billed, waived, policy, cap):
    known = Accounted(billed, waived)

    found = split(overage, known, limit(policy, cap))

    assert known.total + found.billed + found.waived == overage
    assert known.billed + found.billed >= 0
    assert known.waived + found.waived >= 0
    if cap is not None:
        assert billed_units(overage, known, limit(policy, cap)) <= max(cap, billed)
