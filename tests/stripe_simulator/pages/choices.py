"""The payment methods that the pages offer, in the order people need them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class OfferedMethod:
    behaviour: str
    number: str
    says: str


OFFERED_METHODS = (
    OfferedMethod(
        behaviour="success", number="Visa 4242 4242 4242 4242", says="The payment succeeds."
    ),
    OfferedMethod(
        behaviour="3ds",
        number="Visa 4000 0025 0000 3155",
        says="The bank asks for 3-D Secure first.",
    ),
    OfferedMethod(
        behaviour="decline", number="Visa 4000 0000 0000 0002", says="The card is declined."
    ),
    OfferedMethod(
        behaviour="insufficient_funds",
        number="Visa 4000 0000 0000 9995",
        says="Declined: insufficient funds.",
    ),
    OfferedMethod(
        behaviour="bank_debit_succeeds",
        number="Bank account 000123456789",
        says="A debit that succeeds days later.",
    ),
    OfferedMethod(
        behaviour="bank_debit_fails",
        number="Bank account 000111111116",
        says="A debit that fails days later.",
    ),
)
COUNTRIES = (
    ("AU", "Australia"),
    ("CA", "Canada"),
    ("FR", "France"),
    ("DE", "Germany"),
    ("JP", "Japan"),
    ("NL", "Netherlands"),
    ("SG", "Singapore"),
    ("CH", "Switzerland"),
    ("GB", "United Kingdom"),
    ("US", "United States"),
    ("VN", "Viet Nam"),
)
