"""What billing's acts are called on the page of the audit log."""

from django.utils.translation import gettext_lazy as _

from orgs import audit_texts


def register() -> None:
    audit_texts.register(
        {
            "billing.checkout_started": _("Checkout opened"),
            "billing.portal_opened": _("Portal of Stripe opened"),
            "billing.plan_changed": _("Plan changed"),
            "billing.change_scheduled": _("Plan change scheduled"),
            "billing.change_undone": _("Plan change undone"),
            "billing.customer_deleted": _("Customer deleted at Stripe"),
            "billing.contract_agreed": _("Contract agreed"),
            "billing.cancelled": _("Subscription cancelled"),
            "billing.subscription_ended": _("Subscription ended"),
            "billing.customer_moved": _("Stripe customer moved"),
            "billing.pack_ordered": _("Pack ordered"),
            "billing.pack_bought": _("Pack bought"),
            "billing.promotion_applied": _("Promo code used"),
            "billing.change_awaits_bank": _("Plan change waits for the bank"),
            "billing.resumed": _("Subscription resumed"),
            "billing.synced": _("Brought up to date with Stripe"),
            "billing.refunded": _("Payment returned"),
            "billing.dispute_settled": _("Dispute settled"),
            "billing.owner_notified": _("Owner asked to pay"),
            "billing.classified": _("Classified"),
            "billing.customer_adopted": _("Stripe customer adopted"),
            "billing.grant_given": _("Plan given"),
            "billing.grant_revoked": _("Given plan withdrawn"),
        }
    )
