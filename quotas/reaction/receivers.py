"""What quotas does when billing or orgs say that something changed. Importing it connects."""

from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver
from django.utils.translation import gettext as _

from billing.entitlement.store import current
from billing.models import BillingAccount, EffectivePlan, Invoice
from billing.signals import entitlement_changed, invoices_copied
from orgs.models import Organization
from orgs.signals import member_adding, member_inviting, organization_closed
from quotas.engine import limits, members, observing
from quotas.engine.decisions import Reason
from quotas.exceptions import QuotaExceeded
from quotas.models import PeriodRule, QuotaHead, UsageLimit
from quotas.reaction import alerts
from quotas.signals import limits_lowered, renewal_drafted


@receiver(entitlement_changed)
def on_entitlement_changed(
    sender: type[EffectivePlan],
    organization: Organization,
    effective: EffectivePlan,
    **kwargs: Any,
) -> None:
    """In the same transaction: no decision ever sees the new plan with the old limits."""
    limits.derive(organization, effective)


@receiver(limits_lowered)
def on_limits_lowered(sender: type[UsageLimit], organization: Organization, **kwargs: Any) -> None:
    """What was far from the former plan's limit may be near this one's, or beyond it."""
    alerts.look([organization.pk])


@receiver(post_save, sender=BillingAccount)
def on_clock_advanced(
    sender: type[BillingAccount], instance: BillingAccount, **kwargs: Any
) -> None:
    """The head carries the organization's test clock, so that decisions read no billing table."""
    moved = QuotaHead.objects.filter(organization_id=instance.pk).exclude(
        frozen_at=instance.frozen_at
    )
    if instance.frozen_at is not None and moved.exists():
        limits.void_readings(instance.pk, frozen_at=instance.frozen_at)


@receiver(invoices_copied)
def on_invoices_copied(sender: Any, organization: Organization, **kwargs: Any) -> None:
    """Meters that reset when the period's invoice is paid roll on with it.

    A renewal's draft takes usage of its period for an hour: the last units leave now.
    """
    if organization.invoices.filter(status=Invoice.Status.DRAFT).exists():
        renewal_drafted.send(UsageLimit, organization=organization)
    rolls = UsageLimit.objects.filter(organization=organization, period_rule=PeriodRule.PAID)
    if rolls.exists():
        limits.derive(organization, current(organization))


@receiver(organization_closed)
def on_organization_closed(sender: Any, organization: Organization, **kwargs: Any) -> None:
    """From now on satellites find no such organization."""
    limits.void_readings(organization.pk, valid_until=limits.VOID)


@receiver(member_inviting)
def on_member_inviting(sender: Any, organization: Organization, **kwargs: Any) -> None:
    """Nobody is invited to a seat that is not there; where seats are only flagged, everybody is."""
    seats = members.read_seats(organization)
    if seats.is_full:
        raise QuotaExceeded(
            _("All %(limit)s seats are taken. Add a seat first, or remove a member.")
            % {"limit": seats.limit},
            meter=members.METER,
            used=seats.used,
            limit=seats.limit,
            remaining=0,
            next_action="add_seat",
        )


@receiver(member_adding)
def on_member_adding(sender: Any, organization: Organization, **kwargs: Any) -> None:
    """Two people at the last seat: the head lock lets one of them count the other (C21)."""
    seats = members.lock_seats(organization)
    if seats.would_be_full:
        observing.note(
            organization.pk,
            observing.Source.SEAT,
            members.METER,
            Reason.QUOTA_EXCEEDED,
            amount=1,
        )
    if seats.is_full:
        raise QuotaExceeded(
            _("All %(limit)s seats of %(organization)s are taken. The owner can upgrade the plan.")
            % {"limit": seats.limit, "organization": organization.name},
            meter=members.METER,
            used=seats.used,
            limit=seats.limit,
            remaining=0,
        )
