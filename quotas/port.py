"""What billing may ask about usage (billing/ports.py)."""

from datetime import datetime

from django.db import connection

from billing.models import EffectivePlan
from billing.presentation.banner import Banner, Reader
from orgs.models import Organization
from quotas.engine import members
from quotas.models import Balance, QuotaHead
from quotas.reading import banner


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

    def banner(self, effective: EffectivePlan, reader: Reader) -> Banner | None:
        return banner.of(effective, reader)
