"""What the usage calls take and give, for the OpenAPI document. The calls check by themselves:
`quotas.api.calls` is the one validator, shared with the hot path; a test compares the two."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from quotas.engine.asking import LONGEST_HOLD_SECONDS, LONGEST_KEY, LONGEST_MEMBER, MOST_LINES
from quotas.models import LARGEST_AMOUNT

_ORGANIZATION = "d2719f2e-6f3c-4a5e-9a53-0a9f0c1f7c11"
_PRINTABLE = r"^[ -~]+$"  # a safe part of what is accepted, for generated examples


class _Named(serializers.Serializer[Any]):
    organization = serializers.CharField(max_length=64, help_text="UUID or slug.")


class LineRequest(serializers.Serializer[Any]):
    meter = serializers.CharField(max_length=64)
    amount = serializers.IntegerField(min_value=1, max_value=LARGEST_AMOUNT, default=1)
    member = serializers.CharField(
        max_length=LONGEST_MEMBER,
        required=False,
        allow_blank=True,
        allow_null=True,
        help_text="An opaque id.",
    )


class Question(_Named, LineRequest):
    """May the organization use so much of the meter now?"""


class _Use(_Named):
    meter = serializers.CharField(max_length=64, required=False)
    amount = serializers.IntegerField(min_value=1, max_value=LARGEST_AMOUNT, default=1)
    member = serializers.CharField(
        max_length=LONGEST_MEMBER, required=False, allow_blank=True, allow_null=True
    )
    lines = LineRequest(
        many=True,
        required=False,
        allow_null=True,
        help_text=f"In place of one meter: up to {MOST_LINES}, counted all or none.",
    )
    idempotency_key = serializers.CharField(
        max_length=LONGEST_KEY, required=False, help_text="Or the Idempotency-Key header."
    )
    dimensions = serializers.DictField(
        child=serializers.CharField(),
        required=False,
        allow_null=True,
        help_text="Keys that the catalogue declares for the meter.",
    )


class ConsumeRequest(_Use):
    """Count so much, or refuse."""


class RecordRequest(_Use):
    """Count what has been used."""

    occurred_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="At most 35 days back."
    )


class ReleaseRequest(_Named):
    """Either the consume's key, or meter and amount of a level."""

    meter = serializers.CharField(max_length=64, required=False)
    amount = serializers.IntegerField(min_value=1, max_value=LARGEST_AMOUNT, required=False)
    member = serializers.CharField(
        max_length=LONGEST_MEMBER, required=False, allow_blank=True, allow_null=True
    )
    idempotency_key = serializers.CharField(max_length=LONGEST_KEY, required=False)


class LevelRequest(_Named):
    """What the keeper of a level counted, and when."""

    meter = serializers.CharField(max_length=64)
    member = serializers.CharField(
        max_length=LONGEST_MEMBER, required=False, allow_blank=True, allow_null=True
    )
    value = serializers.IntegerField(min_value=0, max_value=LARGEST_AMOUNT)
    observed_at = serializers.DateTimeField()


class ReserveRequest(_Named, LineRequest):
    """Hold so much."""

    idempotency_key = serializers.CharField(max_length=LONGEST_KEY, required=False)
    dimensions = serializers.DictField(
        child=serializers.CharField(), required=False, allow_null=True
    )
    expires_in = serializers.IntegerField(
        min_value=1, max_value=LONGEST_HOLD_SECONDS, default=900, help_text="Seconds."
    )


class CommitRequest(serializers.Serializer[Any]):
    amount = serializers.IntegerField(
        min_value=0, max_value=LARGEST_AMOUNT, help_text="At most what was reserved."
    )


class VoidRequest(serializers.Serializer[Any]):
    """Nothing to say."""


class EventRequest(RecordRequest):
    """One consume, record, release or level; the fields of that call."""

    type = serializers.ChoiceField(
        choices=["consume", "record", "release", "level"], default="consume"
    )
    organization = serializers.CharField(max_length=64, required=False)
    value = serializers.IntegerField(min_value=0, max_value=LARGEST_AMOUNT, required=False)
    observed_at = serializers.DateTimeField(required=False)


class BatchRequest(serializers.Serializer[Any]):
    organization = serializers.CharField(
        max_length=64, required=False, help_text="For events that name none."
    )
    events = EventRequest(many=True, help_text="1 to 1,000.")


class Numbers(serializers.Serializer[Any]):
    """`limit` and `remaining` null mean unlimited. `used` counts the present usage period."""

    allowed = serializers.BooleanField()
    reason = serializers.CharField(allow_null=True)
    plan = serializers.CharField()
    meter = serializers.CharField()
    used = serializers.IntegerField()
    held = serializers.IntegerField()
    limit = serializers.IntegerField(allow_null=True)
    remaining = serializers.IntegerField(allow_null=True)
    overage = serializers.IntegerField()
    resets_at = serializers.DateTimeField(allow_null=True)
    upgrade_url = serializers.URLField()
    enforcement = serializers.ChoiceField(choices=["disabled", "observe", "enforce"])


class EventNumbers(Numbers):
    event_id = serializers.CharField(allow_null=True)


class Answer(EventNumbers):
    """Of a request with several lines: the line that decided, and all of them."""

    lines = EventNumbers(many=True, required=False)


class HoldAnswer(EventNumbers):
    id = serializers.CharField()
    expires_at = serializers.DateTimeField()


class Result(serializers.Serializer[Any]):
    """What the single call would have answered, with its status."""

    status = serializers.IntegerField()
    code = serializers.CharField(required=False)
    detail = serializers.CharField(required=False)


class BatchAnswer(serializers.Serializer[Any]):
    results = Result(many=True)


class Problem(serializers.Serializer[Any]):
    """RFC 9457. Refusals carry the numbers of the decision too."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()


_PROBLEMS: Final = {
    400: "Not JSON.",
    401: "No token, or one that is unknown, expired or revoked.",
    402: "`quota_exceeded`: the limit would be crossed, and waiting does not help.",
    403: "`account_locked`, `payment_required`, `feature_unavailable` or `out_of_scope`.",
    404: "No such organization or reservation.",
    409: "The key was used for another request, or the state does not allow it.",
    410: "`key_gone`: release by amount instead.",
    415: "Send application/json.",
    422: "`field` names what cannot be accepted.",
    429: "`quota_exceeded`: the meter resets after `Retry-After` seconds.",
    503: "Nothing was applied, or `outcome_unknown`: send the same key again.",
}
_KEY_HEADER = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="In place of `idempotency_key` in the body.",
    pattern=_PRINTABLE,
)
_USED = {
    "allowed": True,
    "reason": None,
    "plan": "pro",
    "meter": "ai_queries",
    "used": 42_181,
    "held": 0,
    "limit": 50_000,
    "remaining": 7_819,
    "overage": 0,
    "resets_at": "2026-12-04T00:00:00Z",
    "upgrade_url": "https://app.example.com/settings/billing/",
    "enforcement": "enforce",
}
_REFUSED = {
    "type": "/problems/quota_exceeded",
    "title": "Quota exceeded",
    "status": 429,
    "code": "quota_exceeded",
    "detail": "AI queries: 50,000 of 50,000 are used, so 1 more would be too many.",
    **_USED,
    "allowed": False,
    "reason": "quota_exceeded",
    "used": 50_000,
    "remaining": 0,
}
_ASKED = {"organization": _ORGANIZATION, "meter": "ai_queries", "amount": 1}


def _problems(*statuses: int) -> dict[Any, Any]:
    return {
        (status, "application/problem+json"): OpenApiResponse(Problem, _PROBLEMS[status])
        for status in statuses
    }


def _call(
    request: type[serializers.Serializer[Any]],
    answer: type[serializers.Serializer[Any]],
    asked: dict[str, Any],
    answered: dict[str, Any],
    *statuses: int,
) -> dict[str, Any]:
    examples = [
        OpenApiExample("Request", asked, request_only=True),
        OpenApiExample("Answer", answered, response_only=True, status_codes=["200"]),
    ]
    if 429 in statuses:  # noqa: PLR2004
        examples.append(
            OpenApiExample("Refused", _REFUSED, response_only=True, status_codes=["429"])
        )
    return {
        "request": request,
        "responses": {200: answer, **_problems(400, 401, 404, 415, 422, 503, *statuses)},
        "examples": examples,
        "tags": ["usage"],
    }


_EVENT = {**_USED, "event_id": "d2719f2e6f3c4a5e9a530a9f0c1f7c11-42181"}
_KEYED = {**_ASKED, "idempotency_key": "chat-8f14e45f"}
_WITH_KEY: dict[str, Any] = {"parameters": [_KEY_HEADER]}

CHECK: Final = _call(Question, Numbers, _ASKED, _USED, 403)
AUTHORIZE: Final = _call(Question, Numbers, _ASKED, _USED, 402, 403, 429)
CONSUME: Final = _call(ConsumeRequest, Answer, _KEYED, _EVENT, 402, 403, 409, 429) | _WITH_KEY
RECORD: Final = (
    _call(
        RecordRequest, Answer, {**_KEYED, "occurred_at": "2026-11-20T07:00:00Z"}, _EVENT, 403, 409
    )
    | _WITH_KEY
)
RELEASE: Final = (
    _call(
        ReleaseRequest,
        Answer,
        {"organization": _ORGANIZATION, "idempotency_key": "chat-8f14e45f"},
        {**_EVENT, "used": 42_180, "remaining": 7_820},
        403,
        409,
        410,
    )
    | _WITH_KEY
)
LEVEL: Final = _call(
    LevelRequest,
    Answer,
    {
        "organization": _ORGANIZATION,
        "meter": "storage",
        "value": 98_784_247_808,
        "observed_at": "2026-11-20T07:00:00Z",
    },
    {**_EVENT, "meter": "storage", "used": 98_784_247_808, "resets_at": None},
    403,
    409,
)
RESERVE: Final = (
    _call(
        ReserveRequest,
        HoldAnswer,
        {**_KEYED, "amount": 20, "expires_in": 600},
        {
            **_EVENT,
            "held": 20,
            "id": "rsv_d2719f2e6f3c4a5e9a530a9f0c1f7c11a4c5",
            "expires_at": "2026-11-20T07:10:00Z",
        },
        402,
        403,
        409,
        429,
    )
    | _WITH_KEY
)
COMMIT: Final = _call(CommitRequest, Answer, {"amount": 17}, _EVENT, 403, 409)
VOID: Final = _call(VoidRequest, Answer, {}, _EVENT, 403, 409)
BATCH: Final = _call(
    BatchRequest,
    BatchAnswer,
    {"organization": _ORGANIZATION, "events": [{**_KEYED, "type": "record"}]},
    {"results": [{"status": 200, **_EVENT}]},
)
