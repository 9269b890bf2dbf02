"""What the engine answers, without an engine: every refusal, its sentence and its numbers."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from quotas import exceptions
from quotas.engine import decisions
from quotas.engine.decisions import Decision, Decisions, Outcome, Reason

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
GB = 2**30
HERE = UUID(int=7)
DENIED = Decision(
    organization=HERE,
    meter="storage",
    member="",
    amount=GB,
    outcome=Outcome.DENIED,
    reason=Reason.QUOTA_EXCEEDED,
    plan="pro",
    used=9 * GB,
    held=GB,
    limit=10 * GB,
    remaining=0,
    overage=0,
    resets_at=None,
    enforcement="enforce",
    at=NOW,
)
ALLOWED = DENIED._replace(outcome=Outcome.ALLOWED, reason=None, sequence=12)


@pytest.mark.parametrize(
    ("reason", "refusal", "status", "sentence"),
    [
        (Reason.ACCOUNT_LOCKED, exceptions.AccountLocked, 403,
         "This workspace is read-only until an open invoice is paid."),
        (Reason.PAYMENT_REQUIRED, exceptions.PaymentRequired, 403,
         "A payment is due. New paid actions start again once it succeeds."),
        (Reason.FEATURE_UNAVAILABLE, exceptions.FeatureUnavailable, 403,
         "The plan of this organization does not include this."),
        (Reason.RELEASE_EXCEEDS_USAGE, exceptions.ReleaseExceedsUsage, 409,
         "More would be released than is used."),
        (Reason.QUOTA_EXCEEDED, exceptions.QuotaExceeded, 402,
         "Storage: 10 GB of 10 GB is used, so 1 GB more is too much."),
        (Reason.GROUP_REFUSED, exceptions.QuotaExceeded, 402,
         "Storage: 10 GB of 10 GB is used, so 1 GB more is too much."),
    ],
)  # fmt: skip
def test_each_reason_has_its_status_its_sentence_and_the_numbers(reason, refusal, status, sentence):
    with pytest.raises(refusal) as refused:
        DENIED._replace(reason=reason).or_raise()

    assert (refused.value.status, str(refused.value)) == (status, sentence)
    assert refused.value.extra["limit"] == 10 * GB


def test_a_meter_that_nobody_knows_is_called_by_its_key_and_counted():
    stray = DENIED._replace(meter="moonbeams", amount=2, used=1, held=0, limit=None)

    assert str(decisions.refusal(stray)) == (
        "moonbeams: 1 of 0 are used, so 2 more would be too many."
    )


@pytest.mark.parametrize(("left", "seconds"), [(timedelta(hours=1), "3600"), (timedelta(0), "1"),
                                               (timedelta(seconds=1.5), "2")])  # fmt: skip
def test_what_resets_says_when_to_come_again_and_never_at_once(left, seconds):
    refused = decisions.refusal(DENIED._replace(resets_at=NOW + left))

    assert isinstance(refused, exceptions.QuotaExhausted)
    assert refused.headers == {"Retry-After": seconds}


def test_waiting_helps_only_where_a_limit_resets():
    assert DENIED.retry_after is None
    locked = DENIED._replace(reason=Reason.ACCOUNT_LOCKED, resets_at=NOW + timedelta(hours=1))
    assert locked.retry_after is None


def test_what_is_allowed_raises_nothing_and_has_an_event_that_a_refusal_lacks():
    assert ALLOWED.or_raise() is ALLOWED
    assert ALLOWED.event_id == f"{HERE.hex}-12"
    assert DENIED.event_id is None


def test_of_several_lines_the_one_that_refused_speaks_for_all():
    dragged = DENIED._replace(reason=Reason.GROUP_REFUSED)
    locked = DENIED._replace(reason=Reason.ACCOUNT_LOCKED)

    assert Decisions((ALLOWED, ALLOWED)).or_raise().allowed
    assert Decisions((dragged, locked)).deciding is locked
    assert Decisions((dragged, dragged)).deciding is dragged
    with pytest.raises(exceptions.AccountLocked):
        Decisions((dragged, ALLOWED, locked)).or_raise()


def test_the_body_is_that_of_the_contract(settings):
    decisions._site.cache_clear()
    settings.SITE_URL = "https://billing.example"

    body = decisions.body(ALLOWED._replace(resets_at=NOW))

    decisions._site.cache_clear()
    assert body == {
        "allowed": True,
        "reason": None,
        "plan": "pro",
        "meter": "storage",
        "used": 9 * GB,
        "held": GB,
        "limit": 10 * GB,
        "remaining": 0,
        "overage": 0,
        "resets_at": "2026-11-20T12:00:00Z",
        "upgrade_url": f"https://billing.example/settings/billing/?organization={HERE}",
        "enforcement": "enforce",
        "event_id": f"{HERE.hex}-12",
    }
    assert decisions.body(ALLOWED)["resets_at"] is None
