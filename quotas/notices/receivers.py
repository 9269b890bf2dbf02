"""What becomes a notice. Importing it connects; each is written in the transaction of its cause."""

from typing import Any

from django.dispatch import receiver

from billing.models import EffectivePlan
from orgs.models import Organization
from orgs.signals import member_added, member_removed, organization_closed
from quotas.models import Alert
from quotas.notices import changes
from quotas.reaction import alerts
from quotas.signals import limits_derived, usage_crossed


@receiver(limits_derived)
def on_limits_derived(
    sender: Any, organization: Organization, effective: EffectivePlan, **kwargs: Any
) -> None:
    changes.look(organization, effective)


@receiver(usage_crossed)
def on_usage_crossed(sender: Any, organization: Organization, alert: Alert, **kwargs: Any) -> None:
    changes.tell_crossed(organization, alerts.facts(alert))


@receiver(organization_closed)
def on_organization_closed(sender: Any, organization: Organization, **kwargs: Any) -> None:
    changes.tell_deleted(organization)


@receiver(member_added)
@receiver(member_removed)
def on_members_changed(sender: Any, organization: Organization, **kwargs: Any) -> None:
    changes.look_at_usage(organization)
