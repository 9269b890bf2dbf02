"""Billing's part when an organization is deleted: what stands in the way, and what must go.

Invoices stay, here without links and at Stripe as documents: the law demands them.
"""

from contextlib import suppress

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from billing.catalog.money import format_money
from billing.entitlement.clock import now_for
from billing.gateway import mirror, stripe_api
from billing.gateway.stripe_api import Missing
from billing.messages import outbox
from billing.models import (
    BillingAccount,
    CheckoutIntent,
    Classification,
    CustomerTransfer,
    Grant,
    InboxEvent,
    Invoice,
    OutboxMessage,
    PackPurchase,
    PlansVisit,
    Source,
)
from billing.subscription import endings
from orgs import audit, deletions
from orgs.deletions import Blocker, Step
from orgs.models import Deletion, Organization

_DELETE_CUSTOMER = "stripe.delete_customer"
_SETTLES_ITSELF = ("mail", "letter")


# --- What stands in the way --------------------------------------------------------------------


def blockers(organization: Organization) -> list[Blocker]:
    return [*_open_invoices(organization), *_contracts(organization)]


def _owed(organization: Organization) -> list[Invoice]:
    return list(
        organization.invoices.filter(
            status=Invoice.Status.OPEN, amount_remaining__gt=0
        ).newest_first()
    )


def _open_invoices(organization: Organization) -> list[Blocker]:
    page = reverse("billing:settings", kwargs={"slug": organization.slug})
    return [
        Blocker(
            sentence=_("Invoice %(number)s over %(amount)s is still open.")
            % {
                "number": invoice.number or invoice.stripe_id,
                "amount": format_money(invoice.amount_remaining, invoice.currency),
            },
            action=_("Pay it"),
            url=invoice.hosted_url or page,
        )
        for invoice in _owed(organization)
    ]


def _contracts(organization: Organization) -> list[Blocker]:
    running = Grant.objects.filter(organization=organization, source=Source.CONTRACT).in_force(
        now_for(organization)
    )
    return [
        Blocker(
            sentence=_("A contract runs until %(day)s.") % {"day": date_format(grant.ends_at)}
            if grant.ends_at
            else _("A contract runs without an end."),
            action=_("Talk to us about ending it"),
            url=f"mailto:{settings.SUPPORT_EMAIL}",
        )
        for grant in running
    ]


# --- What must go ------------------------------------------------------------------------------


def end_subscriptions(deletion: Deletion) -> bool:
    """And what was paid in vain goes back. Raises StripeUnavailable; then it is asked again."""
    organization = deletion.organization
    if organization.subscriptions.live().exists():
        endings.end_all(organization)
    if endings.owes_money(organization):
        endings.return_money(organization)
    return not organization.subscriptions.live().exists()


def send_last_mails(deletion: Deletion) -> bool:
    """Before nobody's address is known any more."""
    waiting = OutboxMessage.objects.filter(
        organization=deletion.organization, state=OutboxMessage.State.WAITING
    )
    return not any(
        kind.startswith(_SETTLES_ITSELF) for kind in waiting.values_list("kind", flat=True)
    )


def erase_rows(deletion: Deletion) -> bool:
    """Amounts, numbers and dates stay; links, cards, free words and who clicked go."""
    organization = deletion.organization
    of = {"organization": organization}
    Invoice.objects.filter(**of).update(hosted_url="", pdf_url="")
    organization.payment_methods.all().delete()
    CheckoutIntent.objects.filter(**of).update(person=None, url="")
    PackPurchase.objects.filter(**of).update(person=None, url="")
    CustomerTransfer.objects.filter(target=organization).update(founder=None)
    Grant.objects.filter(**of).update(reason="", terms={})
    Classification.objects.filter(**of).update(reason="")
    PlansVisit.objects.filter(**of).delete()
    OutboxMessage.objects.filter(**of).exclude(kind=_DELETE_CUSTOMER).update(
        payload={}, last_error=""
    )
    customer_id = _account(organization).stripe_customer_id
    if customer_id:
        InboxEvent.objects.filter(customer_id=customer_id).exclude(
            state=InboxEvent.State.WAITING
        ).update(payload={}, headers={})
    return True


def delete_customer(deletion: Deletion) -> bool:
    """Through the outbox, and not while an invoice can still be paid (E29)."""
    organization = deletion.organization
    account = _account(organization)
    if account.stripe_customer_id is None or account.customer_deleted_at is not None:
        return True
    if _owed(organization) or endings.owes_money(organization):
        return False
    day = timezone.now().date().isoformat()  # one that was given up is tried again the next day
    outbox.put(organization, _DELETE_CUSTOMER, once_per=f"{organization.pk}:{day}")
    return False


@outbox.sender(_DELETE_CUSTOMER)
def send_deletion(message: OutboxMessage) -> None:
    organization = message.organization
    if organization is None or organization.closed_at is None:
        raise outbox.NoLongerTrue
    account = _account(organization)
    if account.stripe_customer_id is None or account.customer_deleted_at is not None:
        raise outbox.NoLongerTrue
    with suppress(Missing):  # somebody was faster, in Stripe's dashboard for instance
        stripe_api.delete_customer(account.stripe_customer_id)
    BillingAccount.objects.filter(pk=account.pk).update(customer_deleted_at=timezone.now())
    audit.record(
        "billing.customer_deleted", organization=organization, target=account.stripe_customer_id
    )


def forget_mirror(deletion: Deletion) -> bool:
    """dj-stripe's rows of the customer; ours keep what the books need.

    A sync may have copied links again while the customer was still there.
    """
    erase_rows(deletion)
    customer_id = _account(deletion.organization).stripe_customer_id
    if customer_id is not None:
        mirror.forget(customer_id)
    return True


def _account(organization: Organization) -> BillingAccount:
    account, _created = BillingAccount.objects.get_or_create(organization=organization)
    return account


def register() -> None:
    deletions.register_blockers(blockers)
    deletions.register_steps(
        Step(name="subscriptions", run=end_subscriptions),
        Step(name="mails", run=send_last_mails, after=("subscriptions",)),
        Step(name="billing", run=erase_rows, after=("mails",)),
        Step(name="customer", run=delete_customer, after=("subscriptions",)),
        Step(name="mirror", run=forget_mirror, after=("customer",)),
    )
