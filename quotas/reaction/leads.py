"""Tells sales, once a day, who is new among the high-usage leads."""

from datetime import UTC
from typing import Any, Final

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from billing import catalog
from billing.catalog.amounts import format_amount
from billing.messages import outbox
from billing.models import OutboxMessage
from quotas.models import Lead
from quotas.reading import leads
from quotas.reading.leads import LeadReading

KIND: Final = "leads.daily"
_MOST: Final = 50  # in one mail


def tell() -> int:
    """How many are new. Each is told once per usage period, and of all days once."""
    day = timezone.now().astimezone(UTC).date().isoformat()
    if OutboxMessage.objects.filter(once_per=f"{KIND}:{day}").exists():
        return 0
    known = set(Lead.objects.values_list("organization_id", "meter", "period_start"))
    fresh = [
        lead
        for lead in leads.find()
        if (lead.organization, lead.meter, lead.period_start) not in known
    ][:_MOST]
    if not fresh:
        return 0
    with transaction.atomic():
        if not outbox.put(None, KIND, once_per=day, payload={"leads": [_told(x) for x in fresh]}):
            return 0
        Lead.objects.bulk_create([_row(lead) for lead in fresh], ignore_conflicts=True)
    return len(fresh)


@outbox.sender(KIND)
def send_mail(message: OutboxMessage) -> None:
    """To the address that sells contracts."""
    context = {
        "leads": message.payload["leads"],
        "page_url": settings.SITE_URL + reverse("admin:leads"),
    }
    text = render_to_string("emails/quotas/leads.txt", context)
    html = render_to_string("emails/quotas/leads.html", context)
    subject, _newline, body = text.partition("\n")
    to = [str(catalog.current().contacts.sales)]
    mail = EmailMultiAlternatives(subject=subject.strip(), body=body.strip(), to=to)
    mail.attach_alternative(html, "text/html")
    mail.send()


def _row(lead: LeadReading) -> Lead:
    return Lead(
        organization_id=lead.organization,
        meter=lead.meter,
        period_start=lead.period_start,
        percent=lead.percent,
    )


def _told(lead: LeadReading) -> dict[str, Any]:
    meter = catalog.current().meters[lead.meter]
    return {
        "name": lead.name,
        "plan": lead.plan,
        "meter": str(meter.name),
        "used": format_amount(lead.used, meter),
        "limit": format_amount(lead.limit, meter),
        "percent": lead.percent,
        "next_plan": lead.next_plan,
    }
