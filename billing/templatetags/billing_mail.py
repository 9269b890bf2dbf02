"""Amounts in billing's mails, in the language of the mail."""

from django import template

from billing.catalog.money import format_money
from billing.models import Invoice

register = template.Library()


@register.filter
def paid_amount(invoice: Invoice) -> str:
    return format_money(invoice.amount_paid, invoice.currency)


@register.filter
def owed_amount(invoice: Invoice) -> str:
    return format_money(invoice.amount_remaining, invoice.currency)
