"""Amounts in billing's mails, in the language of the mail."""

from datetime import datetime
from typing import Any

from django import template

from billing.catalog.money import format_money
from billing.models import Invoice
from billing.presentation.formats import moment

register = template.Library()


@register.filter
def paid_amount(invoice: Invoice) -> str:
    return format_money(invoice.amount_paid, invoice.currency)


@register.filter
def owed_amount(invoice: Invoice) -> str:
    return format_money(invoice.amount_remaining, invoice.currency)


@register.filter
def payload_amount(payload: dict[str, Any]) -> str:
    return format_money(payload["amount"], payload["currency"])


@register.filter
def deadline(instant: datetime) -> str:
    """In the organization's time zone, with its distance from GMT."""
    return moment(instant)
