"""Writes notices in the transaction of their cause; they leave after its commit.

Sequence numbers of one organization grow in the order of commits: whoever writes holds the row
`NoticeState` to the end of the transaction. Receivers ignore a lower number than they have seen.
"""

from collections.abc import Callable
from typing import Any

from django.utils import timezone

from orgs.models import Organization
from quotas.engine.decisions import instant
from quotas.models import NoticeDelivery, NoticeEndpoint, NoticeState, NoticeType
from quotas.signals import notices_put

Data = dict[str, Any]
Render = Callable[[NoticeEndpoint], Data | None]


def is_anybody_listening() -> bool:
    return NoticeEndpoint.objects.live().exists()


def lock(organization: Organization) -> NoticeState:
    NoticeState.objects.get_or_create(organization=organization)
    return NoticeState.objects.select_for_update(no_key=True).get(organization=organization)


def put(state: NoticeState, organization: Organization, kind: NoticeType, render: Render) -> int:
    """One sequence number for all who listen; `render` may leave somebody out with None."""
    state.sequence += 1
    state.save(update_fields=["sequence"])
    found = []
    for endpoint in NoticeEndpoint.objects.listening(organization.pk, kind):
        data = render(endpoint)
        if data is not None:
            about = {"organization": str(organization.pk), "slug": organization.slug}
            found.append(_delivery(endpoint, kind, about | data, state))
    NoticeDelivery.objects.bulk_create(found)
    if found:
        notices_put.send(NoticeDelivery, endpoints=[row.endpoint_id for row in found])
    return len(found)


def put_test(endpoint: NoticeEndpoint) -> NoticeDelivery:
    """About no organization: a receiver answers 2xx and does nothing."""
    payload = _envelope(NoticeType.TEST, 0, {"message": "This is a test notice."})
    return NoticeDelivery.objects.create(endpoint=endpoint, type=NoticeType.TEST, payload=payload)


def _delivery(
    endpoint: NoticeEndpoint, kind: NoticeType, data: Data, state: NoticeState
) -> NoticeDelivery:
    return NoticeDelivery(
        endpoint=endpoint,
        organization_id=state.organization_id,
        type=kind,
        sequence=state.sequence,
        payload=_envelope(kind, state.sequence, data),
    )


def _envelope(kind: NoticeType, sequence: int, data: Data) -> Data:
    at = instant(timezone.now())
    return {"type": str(kind), "timestamp": at, "sequence": sequence, "data": data}
