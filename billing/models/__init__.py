from billing.models.account import BillingAccount
from billing.models.checkout import CheckoutIntent
from billing.models.classification import Classification
from billing.models.drift import DriftFinding, ReconcileRun
from billing.models.effective_plan import Access, EffectivePlan, EffectivePlanChange, Source
from billing.models.ending import Ending, Refund
from billing.models.evidence import Evidence
from billing.models.extra import ExtraPrice, PackPurchase, StripeMeter
from billing.models.grant import Grant
from billing.models.inbox import InboxEvent
from billing.models.licence import Installation
from billing.models.outbox import OutboxMessage
from billing.models.plan import PlanLimit, PlanPrice, SubscriptionPlan
from billing.models.pulse import Pulse
from billing.models.subscription import Invoice, PaymentMethod, Subscription
from billing.models.transfer import CustomerTransfer
from billing.models.trial import TrialMark
from billing.models.visit import PlansVisit

__all__ = [
    "Access",
    "BillingAccount",
    "CheckoutIntent",
    "Classification",
    "CustomerTransfer",
    "DriftFinding",
    "EffectivePlan",
    "EffectivePlanChange",
    "Ending",
    "Evidence",
    "ExtraPrice",
    "Grant",
    "InboxEvent",
    "Installation",
    "Invoice",
    "OutboxMessage",
    "PackPurchase",
    "PaymentMethod",
    "PlanLimit",
    "PlanPrice",
    "PlansVisit",
    "Pulse",
    "ReconcileRun",
    "Refund",
    "Source",
    "StripeMeter",
    "Subscription",
    "SubscriptionPlan",
    "TrialMark",
]
