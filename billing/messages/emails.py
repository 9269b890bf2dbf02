"""Billing's mails: one template pair per kind, in the organization's language."""

from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation

from billing import catalog
from billing.entitlement import store
from billing.messages import outbox, truth
from billing.models import OutboxMessage, SubscriptionPlan
from orgs.models import Organization, Role


@outbox.sender("mail")
def send_mail(message: OutboxMessage) -> None:
    """Renders `emails/billing/<kind>.txt` and `.html`; the first line is the subject."""
    organization = message.organization
    if organization is None:
        raise LookupError("a billing mail belongs to an organization")
    if not truth.holds(message):
        raise outbox.NoLongerTrue
    name = message.kind.removeprefix("mail.")
    zone = timezone.override(organization.time_zone)
    with translation.override(organization.language), zone:
        context = _context(organization, message)
        text = render_to_string(f"emails/billing/{name}.txt", context)
        html = render_to_string(f"emails/billing/{name}.html", context)
    subject, _, body = text.partition("\n")
    mail = EmailMultiAlternatives(
        subject=subject.strip(), body=body.strip(), to=recipients(organization, name)
    )
    mail.attach_alternative(html, "text/html")
    mail.send()


def recipients(organization: Organization, name: str = "") -> list[str]:
    """The billing address, else every owner; a member's request is for the owners themselves."""
    if organization.billing_email and name != "payment_wanted":
        return [organization.billing_email]
    owners = organization.memberships.filter(role=Role.OWNER).order_by("joined_at")
    return list(owners.values_list("user__email", flat=True))


def _context(organization: Organization, message: OutboxMessage) -> dict[str, Any]:
    path = reverse("billing:settings", args=[organization.slug])
    return {
        "organization": organization,
        "invoice": organization.invoices.filter(stripe_id=message.payload.get("invoice")).first(),
        "effective": store.current(organization),
        "billing_url": settings.SITE_URL + path,
        "pricing_url": settings.SITE_URL + reverse("billing:pricing", args=[organization.slug]),
        "support": catalog.current().contacts.support,
        "plan": _plan_named(message.payload.get("plan")),
        "payload": message.payload,
    }


def _plan_named(key: str | None) -> SubscriptionPlan | None:
    plans = SubscriptionPlan.objects.of_catalog(catalog.current().key)
    return plans.with_key(key).in_order().first() if key else None
