"""Object names as Stripe writes them: a prefix that tells the kind, then random letters."""

import random
import string

ALPHABET = string.ascii_letters + string.digits

PREFIXES = {
    "account": "acct_",
    "balance_transaction": "txn_",
    "billing.meter": "mtr_",
    "billing.meter_event_adjustment": "mtr_adj_",
    "billing.meter_event_summary": "mtrusg_",
    "billing_portal.configuration": "bpc_",
    "billing_portal.session": "bps_",
    "charge": "ch_",
    "checkout.session": "cs_test_",
    "coupon": "",
    "credit_note": "cn_",
    "credit_note_line_item": "cnli_",
    "customer": "cus_",
    "customer_balance_transaction": "cbtxn_",
    "discount": "di_",
    "dispute": "du_",
    "entitlements.feature": "feat_",
    "event": "evt_",
    "invoice": "in_",
    "invoice_payment": "inpay_",
    "invoiceitem": "ii_",
    "item": "li_",
    "line_item": "il_",
    "payment_intent": "pi_",
    "payment_method": "pm_",
    "price": "price_",
    "product": "prod_",
    "product_feature": "prodft_",
    "promotion_code": "promo_",
    "refund": "re_",
    "setup_intent": "seti_",
    "subscription": "sub_",
    "subscription_item": "si_",
    "subscription_schedule": "sub_sched_",
    "tax_id": "txi_",
    "tax_rate": "txr_",
    "test_helpers.test_clock": "clock_",
    "webhook_endpoint": "we_",
}


class _Source:
    chance = random.Random()  # noqa: S311 (names, no secrets)


def seed(number: int) -> None:
    """From now on the same names in the same order, for a world that can be played again."""
    _Source.chance.seed(number)


def random_text(length: int) -> str:
    return "".join(_Source.chance.choices(ALPHABET, k=length))


def new_id(kind: str) -> str:
    if kind == "coupon":
        return random_text(8)
    length = 58 if kind == "checkout.session" else 24
    return PREFIXES[kind] + random_text(length)
