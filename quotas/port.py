"""What billing may ask about usage (billing/ports.py)."""

from datetime import datetime

from django.db import connection
from django.db.models import F, Q

from billing.entitlement.clock import now_for
from billing.models import EffectivePlan
from billing.ports import CreditsLeft, ExtraCost
from billing.presentation.banner import Banner, Reader
from billing.subscription import metering
from orgs.models import Organization
from quotas.engine import members
from quotas.models import Balance, Credit, QuotaHead
from quotas.reaction import overage_delivery
from quotas.reading import banner, usage


class Usage:
    """The UsagePort that is bound when quotas starts."""

    def used(self, organization: Organization, meter: str) -> int:
        """The present period's balance, members added up; seats are counted."""
        if meter == members.METER:
            return members.read_seats(organization).used
        rows = Balance.objects.filter(organization=organization, meter=meter).order_by(
            "-period_start"
        )
        newest = rows.first()
        if newest is None:
            return 0
        present = rows.filter(period_start=newest.period_start)
        return sum(balance.used for balance in present)

    def head_now(self, organization: Organization) -> datetime | None:
        """Locks the head, then reads the time that decisions after it will see."""
        head = (
            QuotaHead.objects.select_for_update(no_key=True)
            .filter(organization=organization)
            .first()
        )
        if head is None:
            return None
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            clock: datetime = cursor.fetchone()[0]
        return head.frozen_at or clock

    def credits(self, organization: Organization, most: int | None = None) -> list[CreditsLeft]:
        now = now_for(organization)
        live = Credit.objects.filter(
            Q(expires_at=None) | Q(expires_at__gt=now),
            organization=organization,
            remaining__gt=0,
            starts_at__lte=now,
        ).order_by("meter", "priority", F("expires_at").asc(nulls_last=True), "pk")
        return [
            CreditsLeft(meter=row.meter, left=row.remaining, expires_at=row.expires_at)
            for row in live[:most]
        ]

    def extras(self, organization: Organization) -> list[ExtraCost]:
        over = Balance.objects.filter(
            organization=organization, meter__in=metering.of(organization), overage__gt=0
        )
        if not over.exists():
            return []
        return [
            ExtraCost(
                meter=reading.key,
                currency=reading.extra.currency,
                so_far=reading.extra.so_far,
                projected=reading.extra.projected,
            )
            for reading in usage.of(organization).readings
            if reading.extra is not None
        ]

    def settle_overage(self, organization: Organization) -> None:
        overage_delivery.settle(organization)

    def banner(self, effective: EffectivePlan, reader: Reader) -> Banner | None:
        return banner.of(effective, reader)
