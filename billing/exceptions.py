"""Billing's expected refusals. Each is a sentence for a person and a code for a program."""

from orgs.exceptions import DomainError, Unprocessable


class BillingError(DomainError):
    status = 400
    code = "billing_error"


class StripeUnavailable(BillingError):
    """Stripe timed out or answered 5xx. Retrying later is safe: we sent an idempotency key."""

    status = 503
    code = "stripe_unavailable"


class StripeRefused(BillingError):
    """Stripe understood the request and said no; the sentence is Stripe's own."""

    status = 502
    code = "stripe_refused"


class NotConfigured(BillingError):
    """This installation has no Stripe keys, or a plan has no price at Stripe."""

    status = 503
    code = "billing_not_configured"


class UnknownPlan(Unprocessable):
    code = "unknown_plan"


class PlanNotForYou(BillingError):
    """Individuals, organizations or members cannot buy it; `reason` says which."""

    code = "plan_not_for_you"


class ContractOnly(Unprocessable):
    """The plan is sold by people; `sales_contact` says by whom."""

    code = "contract_only"


class ContractTermsRefused(Unprocessable):
    """Sales may only agree to what the catalogue offers."""

    code = "contract_terms_refused"


class AlreadySubscribed(BillingError):
    """One live subscription per organization; plan changes go through the portal (B3)."""

    status = 409
    code = "already_subscribed"


class OrderReplaced(BillingError):
    """Somebody started another order for the organization before this one had its page (B2)."""

    status = 409
    code = "order_replaced"


class CurrencyFixed(BillingError):
    """A Stripe customer pays in one currency (B15)."""

    status = 409
    code = "currency_fixed"


class NoCustomer(BillingError):
    """The organization never paid, so there is nothing to manage at Stripe."""

    status = 409
    code = "no_customer"


class CustomerBusy(BillingError):
    """Another process is bringing this customer up to date right now; try again in a moment."""

    status = 503
    code = "customer_busy"


class SyncedJustNow(BillingError):
    """A sync by hand asks Stripe for everything of a customer, so it waits for its turn."""

    status = 429
    code = "synced_just_now"


class NotSubscribed(BillingError):
    """There is no subscription to change; a plan is bought at Checkout."""

    status = 409
    code = "not_subscribed"


class NothingToChange(BillingError):
    """The subscription already is what was asked for."""

    status = 409
    code = "nothing_to_change"


class QuoteExpired(BillingError):
    """The price shown is old, or the subscription changed since: look at a new preview."""

    status = 409
    code = "quote_expired"


class NotOffered(BillingError):
    """The plan does not have this pack; `pack` names it."""

    status = 409
    code = "not_offered"


class SeatsInUse(Unprocessable):
    """Fewer seats than people; `used` says how many there are."""

    code = "seats_in_use"


class AccountLocked(BillingError):
    """The organization is read-only until an open invoice is paid."""

    status = 403
    code = "account_locked"


class PaymentRequired(BillingError):
    """No new paid actions until the open invoice is paid."""

    status = 403
    code = "payment_required"


class PromotionRefused(Unprocessable):
    """The code cannot be used; the sentence and `reason` say why."""

    code = "promotion_refused"


class TrialRefused(BillingError):
    """The plan has no trial, or it was used; `reason` says which."""

    status = 409
    code = "trial_refused"
