from billing.models.account import BillingAccount
from billing.models.checkout import CheckoutIntent
from billing.models.effective_plan import Access, EffectivePlan, EffectivePlanChange, Source
from billing.models.grant import Grant
from billing.models.inbox import InboxEvent
from billing.models.outbox import OutboxMessage
from billing.models.plan import PlanLimit, PlanPrice, SubscriptionPlan
from billing.models.pulse import Pulse
from billing.models.subscription import Invoice, PaymentMethod, Subscription

__all__ = [
    "Access",
    "BillingAccount",
    "CheckoutIntent",
    "EffectivePlan",
    "EffectivePlanChange",
    "Grant",
    "InboxEvent",
    "Invoice",
    "OutboxMessage",
    "PaymentMethod",
    "PlanLimit",
    "PlanPrice",
    "Pulse",
    "Source",
    "Subscription",
    "SubscriptionPlan",
]
