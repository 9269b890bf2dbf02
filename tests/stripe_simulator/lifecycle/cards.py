"""Stripe's test cards and bank accounts, and what each does when it is charged."""

import hashlib
from dataclasses import dataclass
from typing import Any

from stripe import PaymentMethod

from tests.stripe_simulator.errors import StripeError, declined, missing
from tests.stripe_simulator.shapes import blank
from tests.stripe_simulator.simulator import Simulator
from tests.stripe_simulator.store import Obj

CARD_DECLINED = "Your card was declined."


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a bank says to one charge."""

    status: str  # succeeded, failed, requires_action, processing
    code: str | None = None
    decline_code: str | None = None
    message: str | None = None

    def refusal(self, **extra: Any) -> StripeError:
        return declined(
            self.code or "card_declined", self.decline_code, self.message or "", **extra
        )


VERDICTS = {
    "success": Verdict(status="succeeded"),
    "decline": Verdict(
        status="failed",
        code="card_declined",
        decline_code="generic_decline",
        message=CARD_DECLINED,
    ),
    "insufficient_funds": Verdict(
        status="failed",
        code="card_declined",
        decline_code="insufficient_funds",
        message="Your card has insufficient funds.",
    ),
    "expired_card": Verdict(
        status="failed",
        code="expired_card",
        decline_code="expired_card",
        message="Your card has expired.",
    ),
    "3ds": Verdict(
        status="requires_action",
        code="authentication_required",
        decline_code="authentication_required",
        message="Your card was declined. This transaction requires authentication.",
    ),
    "bank_debit_succeeds": Verdict(status="processing"),
    "bank_debit_fails": Verdict(
        status="processing",
        code="insufficient_funds",
        message="The customer's account has insufficient funds to cover this payment.",
    ),
}
# Saved without complaint, declined when charged.
VERDICTS["decline_after_attaching"] = VERDICTS["decline"]
BEHAVIOURS = tuple(VERDICTS)

NUMBERS = {
    "4242424242424242": "success",
    "5555555555554444": "success",
    "4000000000000002": "decline",
    "4000000000000341": "decline_after_attaching",
    "4000000000009995": "insufficient_funds",
    "4000000000000069": "expired_card",
    "4000002500003155": "3ds",
    "4000002760003184": "3ds",
}
# Stripe's ready-made payment methods and tokens.
NAMED = {
    "visa": "4242424242424242",
    "mastercard": "5555555555554444",
    "chargeDeclined": "4000000000000002",
    "visa_chargeDeclined": "4000000000000002",
    "chargeCustomerFail": "4000000000000341",
    "chargeDeclinedInsufficientFunds": "4000000000009995",
    "visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "chargeDeclinedExpiredCard": "4000000000000069",
    "authenticationRequired": "4000002760003184",
    "threeDSecure2Required": "4000002500003155",
    "authenticationRequiredOnSetup": "4000002500003155",
}
# us_bank_account test numbers: the second is debited and returned days later.
ACCOUNTS = {"000123456789": "bank_debit_succeeds", "000111111116": "bank_debit_fails"}
NUMBER_OF = {
    **{behaviour: number for number, behaviour in reversed(NUMBERS.items())},
    **{behaviour: number for number, behaviour in ACCOUNTS.items()},
}
OTHER_BRANDS = {"5": "mastercard", "3": "amex"}


def create_payment_method(sim: Simulator, behaviour: str, **values: Any) -> Obj:
    """A payment method that behaves as asked, with the test number that does so at Stripe."""
    number = NUMBER_OF[behaviour]
    if behaviour.startswith("bank_debit"):
        return create_bank_account(sim, number, **values)
    return create_card(sim, number, **values)


def create_card(sim: Simulator, number: str, **values: Any) -> Obj:
    number = number.replace(" ", "")
    if number not in NUMBERS:
        raise declined("incorrect_number", None, "Your card number is incorrect.", param="number")
    brand = OTHER_BRANDS.get(number[0], "visa")
    card = blank(PaymentMethod.Card)
    card |= {
        "brand": brand,
        "display_brand": brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": "US",
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": _fingerprint(number),
        "funding": "credit",
        "last4": number[-4:],
        "networks": {"available": [brand], "preferred": None},
        "three_d_secure_usage": {"supported": True},
    }
    return _created(sim, "card", card, NUMBERS[number], values)


def create_bank_account(sim: Simulator, number: str, **values: Any) -> Obj:
    if number not in ACCOUNTS:
        raise StripeError("The account number is invalid.", code="account_number_invalid")
    account = blank(PaymentMethod.UsBankAccount)
    account |= {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "fingerprint": _fingerprint(number),
        "last4": number[-4:],
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": "110000000",
        "status_details": {},
    }
    return _created(sim, "us_bank_account", account, ACCOUNTS[number], values)


def named_payment_method(sim: Simulator, name: str) -> Obj:
    """pm_card_visa and the like: each use makes a new payment method."""
    if name.startswith("pm_usBankAccount"):
        number = "000111111116" if "insufficient" in name.lower() else "000123456789"
        return create_bank_account(sim, number)
    number_of = NAMED.get(name.removeprefix("pm_card_").removeprefix("tok_"))
    if number_of is None:
        raise missing("PaymentMethod", name, "payment_method")
    return create_card(sim, number_of)


def verdict_of(sim: Simulator, method: Obj | None) -> Verdict:
    """What this method answers now; a test may have overruled it for the whole customer."""
    if method is None:
        return Verdict(
            status="failed",
            code="missing",
            message="There is no payment method to charge.",
        )
    customer = sim.store.get("customer", method["customer"] or "")
    overruled = (customer or {}).get("_sim", {}).get("card_behaviour")
    behaviour = overruled or method["_sim"]["behaviour"]
    if behaviour == "3ds" and method["_sim"].get("authenticated") and not overruled:
        return VERDICTS["success"]
    return VERDICTS[behaviour]


def refuses_to_be_saved(method: Obj) -> bool:
    return method["_sim"]["behaviour"] in {"decline", "insufficient_funds", "expired_card"}


def _created(sim: Simulator, kind: str, block: Obj, behaviour: str, values: Obj) -> Obj:
    method = sim.create("payment_method", type=kind, metadata={}, **values)
    method[kind] = block
    method.setdefault("allow_redisplay", "unspecified")
    method["allow_redisplay"] = method["allow_redisplay"] or "unspecified"
    method["_sim"] = {"behaviour": behaviour}
    return method


def _fingerprint(number: str) -> str:
    """The same card has the same fingerprint, whoever adds it."""
    return hashlib.sha256(number.encode()).hexdigest()[:16]
