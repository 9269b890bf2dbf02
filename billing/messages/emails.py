"""Billing's mails: one template pair per kind, in the organization's language."""

from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation

from billing import catalog
from billing.entitlement import store
from billing.messages import outbox
from billing.models import OutboxMessage
from orgs.models import Organization, Role


@outbox.sender("mail")
def send_mail(message: OutboxMessage) -> None:
    """Renders `emails/billing/<kind>.txt` and `.html`; the first line is the subject."""
    organization = message.organization
    if organization is None:
        raise LookupError("a billing mail belongs to an organization")
    name = message.kind.removeprefix("mail.")
    with translation.override(organization.language):
        context = _context(organization, message)
        text = render_to_string(f"emails/billing/{name}.txt", context)
        html = render_to_string(f"emails/billing/{name}.html", context)
    subject, _, body = text.partition("\n")
    mail = EmailMultiAlternatives(
        subject=subject.strip(), body=body.strip(), to=recipients(organization)
    )
    mail.attach_alternative(html, "text/html")
    mail.send()


def recipients(organization: Organization) -> list[str]:
    """The billing address, else every owner."""
    if organization.billing_email:
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
        "support": catalog.current().contacts.support,
        "payload": message.payload,
    }
