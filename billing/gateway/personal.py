"""What Stripe says of people and cards that we never keep: cut out before a row is written.

Stripe sends no card number by itself, but people type theirs into names, notes and metadata; so
numbers are looked for in every text, wherever it stands (document 003).
"""

from typing import Any, Final

from billing.redaction import without_card_numbers

# Where people live is Stripe's to keep: taxes are computed there, and invoices are printed there.
_PEOPLE: Final = frozenset(
    {
        "address", "customer_address", "shipping", "customer_shipping", "shipping_details",
        "shipping_address", "collected_information", "phone", "customer_phone",
        "address_line1", "address_line2", "address_city", "address_state", "address_zip",
        "address_country", "billing_details", "customer_details", "customer_name",
        "customer_email", "receipt_email", "ip_address",
    }
)  # fmt: skip
_CODES: Final = frozenset({"cvc", "cvc2", "cvv", "cvv2", "csc", "security_code"})
# Checkout, portal and invoice URLs and client secrets are bearer secrets; names, addresses and
# contact data say nothing about whose state moved.
_NOT_FOR_THE_INBOX: Final = _PEOPLE | _CODES | {
    "shipping_cost", "customer_tax_ids", "email", "individual_name", "business_name",
    "receipt_url", "client_secret", "url",
    "hosted_invoice_url", "invoice_pdf", "owner", "account_tax_ids", "tax_ids",
    "preferred_locales", "custom_fields", "custom_text", "fingerprint", "iin", "issuer_name",
}  # fmt: skip
_NOT_FOR_THE_MIRROR: Final = _PEOPLE | _CODES | {"client_secret"}
# Ours are in our own rows; what a buyer types at Checkout is Stripe's to print on invoices.
_NOT_OF_CUSTOMERS: Final = frozenset(
    {"name", "email", "description", "individual_name", "business_name"}
)
_NAMED_OBJECTS: Final = frozenset({"customer", "payment_method", "checkout.session"})


def for_inbox(value: Any) -> Any:
    """The same JSON without personal data, bearer secrets and card data."""
    if isinstance(value, list):
        return [for_inbox(item) for item in value]
    if not isinstance(value, dict):
        return _without_card_numbers(value)
    kind = value.get("object")
    named = isinstance(kind, str) and kind in _NAMED_OBJECTS
    return {
        without_card_numbers(key): for_inbox(item)
        for key, item in value.items()
        if key not in _NOT_FOR_THE_INBOX and not (named and key in {"name", "description"})
    }


def for_mirror(value: Any) -> Any:
    """The same shape, which dj-stripe relies on, with nothing in the places that hold addresses."""
    if isinstance(value, list):
        return [for_mirror(item) for item in value]
    if not isinstance(value, dict):
        return _without_card_numbers(value)
    left = _left_at_stripe(value.get("object"))
    return {
        without_card_numbers(name): None if name in left else for_mirror(item)
        for name, item in value.items()
    }


def is_kept_by_mirror(kind: str, field: str) -> bool:
    """Of dj-stripe's own columns; `kind` is Stripe's word for the object."""
    return field not in _left_at_stripe(kind)


def _left_at_stripe(kind: Any) -> frozenset[str]:
    return _NOT_FOR_THE_MIRROR | _NOT_OF_CUSTOMERS if kind == "customer" else _NOT_FOR_THE_MIRROR


def _without_card_numbers(value: Any) -> Any:
    return without_card_numbers(value) if isinstance(value, str) else value
