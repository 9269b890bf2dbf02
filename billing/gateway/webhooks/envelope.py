"""Reading a signed event: is it well formed, whose is it, and what of it may be kept."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from billing.gateway import personal

Json = dict[str, Any]


class Malformed(ValueError):
    """Signed, yet not an event of Stripe's shape."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """An event's facts that the inbox indexes; `customer_id` is empty where Stripe names none."""

    event_id: str
    type: str
    customer_id: str
    object_id: str
    livemode: bool
    account: str
    api_version: str
    created_at: datetime | None
    payload: Json
    had_forbidden_text: bool


def read(event: Any) -> Envelope:
    """Raises Malformed for anything that is not an object with Stripe's event fields."""
    if not isinstance(event, dict) or event.get("object") != "event":
        raise Malformed("not an event")
    data = event.get("data")
    subject = data.get("object") if isinstance(data, dict) else None
    if not isinstance(subject, dict):
        raise Malformed("no data.object")
    cleaned, had_forbidden_text = without_forbidden_text(personal.for_inbox(event))
    return Envelope(
        event_id=_text(event, "id", longest=255, required=True),
        type=_text(event, "type", longest=120, required=True),
        customer_id=customer_of(event)[:64],
        object_id=_text(subject, "id", longest=255),
        livemode=event.get("livemode") is True,
        account=_text(event, "account", longest=255),
        api_version=_text(event, "api_version", longest=64),
        created_at=_instant(event.get("created")),
        payload=cleaned,
        had_forbidden_text=had_forbidden_text,
    )


def customer_of(event: Json) -> str:
    """Whose state moved, by the payload alone: a hint, trusted only against our own rows (A21)."""
    subject = event["data"]["object"]
    if subject.get("object") == "customer":
        return _id(subject.get("id"))
    before = event["data"].get("previous_attributes")
    former = before.get("customer") if isinstance(before, dict) else None
    return _id(subject.get("customer")) or _id(former)


def without_forbidden_text(value: Any) -> tuple[Any, bool]:
    r"""PostgreSQL's jsonb takes neither NUL nor lone surrogates: replace them and say so (A17)."""
    if isinstance(value, str):
        clean = value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
        return clean, clean != value
    if isinstance(value, list):
        pairs = [without_forbidden_text(item) for item in value]
        return [item for item, _ in pairs], any(bad for _, bad in pairs)
    if isinstance(value, dict):
        entries = {
            without_forbidden_text(key)[0]: without_forbidden_text(item)
            for key, item in value.items()
        }
        bad = any(flag for _, flag in entries.values())
        return {key: item for key, (item, _) in entries.items()}, bad
    if isinstance(value, float) and not math.isfinite(value):
        return None, True
    return value, False


def _text(source: Json, key: str, *, longest: int, required: bool = False) -> str:
    found = source.get(key)
    if found is None and not required:
        return ""
    if not isinstance(found, str) or len(found) > longest or (required and not found):
        raise Malformed(f"bad {key}")
    return str(without_forbidden_text(found)[0])


def _id(reference: Any) -> str:
    """A Stripe reference: an id, or the expanded object."""
    if isinstance(reference, dict):
        reference = reference.get("id")
    return str(without_forbidden_text(reference)[0]) if isinstance(reference, str) else ""


def _instant(seconds: Any) -> datetime | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds < 2**33:
        return None
    return datetime.fromtimestamp(seconds, tz=UTC)
