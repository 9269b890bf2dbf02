"""“Sync now”: an owner who sees something old brings it up to date, at most every half minute."""

from datetime import timedelta
from typing import Final

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.exceptions import CustomerBusy, NoCustomer, SyncedJustNow
from billing.gateway.webhooks import comparing
from billing.insight.drift import Difference
from billing.models import BillingAccount
from orgs import audit
from orgs.models import Organization, User

PAUSE: Final = timedelta(seconds=30)


def now(organization: Organization, person: User) -> list[Difference]:
    """What differed from Stripe and has been repaired; mostly nothing.

    Raises NoCustomer, SyncedJustNow, CustomerBusy, and Stripe's troubles.
    """
    account = (
        BillingAccount.objects.select_related("organization")
        .filter(organization=organization)
        .exclude(stripe_customer_id=None)
        .first()
    )
    if account is None:
        raise NoCustomer(_("There is nothing at Stripe to compare with yet."))
    _take_turn(account)
    found = comparing.resync(account, cause="sync")
    if found is None:
        raise CustomerBusy(_("This is being brought up to date right now."))
    audit.record(
        "billing.synced",
        organization=organization,
        actor=person,
        after={"changed": [one.subject for one in found][:50]},
    )
    return found


def _take_turn(account: BillingAccount) -> None:
    """One statement decides, so that two clicks at once are one sync."""
    at = timezone.now()
    due = Q(sync_asked_at=None) | Q(sync_asked_at__lte=at - PAUSE)
    if not BillingAccount.objects.filter(due, pk=account.pk).update(sync_asked_at=at):
        raise SyncedJustNow(
            _("This was synced a moment ago. Please wait half a minute."),
            headers={"Retry-After": str(int(PAUSE.total_seconds()))},
        )
