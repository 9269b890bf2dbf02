"""Writes down what differed from Stripe, and shouts: each difference was once a lost message."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db.models import Count

from billing.models import DriftFinding, InboxEvent, ReconcileRun
from orgs.models import Organization

logger = structlog.get_logger(__name__)

Kind = DriftFinding.Kind


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One object whose row differed: field → [ours, Stripe's]."""

    subject: str
    fields: dict[str, list[Any]]


def found(
    kind: str,
    subject: str,
    *,
    organization: Organization | None,
    cause: str,
    detail: dict[str, Any] | None = None,
    repaired: bool = True,
) -> bool:
    """False when the same thing was written down before."""
    values: dict[str, Any] = {
        "organization": organization,
        "detail": detail or {},
        "repaired": repaired,
        "cause": cause[:120],
    }
    if kind == Kind.STALE:
        DriftFinding.objects.create(kind=kind, subject=subject, **values)
        created = True
    else:
        _, created = DriftFinding.objects.get_or_create(kind=kind, subject=subject, defaults=values)
    if created:
        logger.error(
            "alert.drift_found",
            kind=str(kind),
            subject=subject,
            organization=str(organization.pk) if organization else None,
            repaired=repaired,
        )
    return created


def stranger(event: InboxEvent) -> None:
    """A customer that is nobody's by our rows, yet names an organization of ours.

    Metadata is never believed (A21), so nothing is repaired: somebody must look at it.
    """
    metadata = event.payload["data"]["object"].get("metadata")
    organization = _organization(metadata.get("organization") if metadata else None)
    if organization is not None and event.customer_id and event.type != "customer.deleted":
        found(
            Kind.STRANGER,
            event.customer_id,
            organization=organization,
            cause=event.event_id,
            repaired=False,
        )


def _organization(named: Any) -> Organization | None:
    try:
        pk = UUID(str(named))
    except ValueError:
        return None
    return Organization.objects.filter(pk=pk).first()


# --- For the metrics ----------------------------------------------------------------------------


def by_kind(*, since: datetime) -> dict[str, int]:
    """How many of each kind were found; every kind is named, so that a series never vanishes."""
    counted = DriftFinding.objects.filter(found_at__gte=since).values_list("kind")
    found = dict(counted.annotate(number=Count("pk")))
    return {str(kind): found.get(kind, 0) for kind in Kind.values}


def waiting_for_a_person(*, since: datetime) -> int:
    return DriftFinding.objects.filter(repaired=False, found_at__gte=since).count()


def last_reconcile() -> datetime | None:
    """When a pass last came to its end."""
    finished = ReconcileRun.objects.exclude(finished_at=None).order_by("-started_at")
    return finished.values_list("finished_at", flat=True).first()
