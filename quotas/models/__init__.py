from quotas.models.balance import Balance
from quotas.models.control import Alert, AlertSetting, UsageControl
from quotas.models.credit import Credit
from quotas.models.event import UsageEvent, Verb
from quotas.models.head import QuotaHead
from quotas.models.lead import Lead
from quotas.models.limit import (
    LARGEST_AMOUNT,
    Enforcement,
    Kind,
    LimitAdjustment,
    Overage,
    PeriodRule,
    Refusal,
    UsageLimit,
)
from quotas.models.notice import NoticeDelivery, NoticeEndpoint, NoticeState, NoticeType
from quotas.models.overage import OverageReport
from quotas.models.reservation import Reservation
from quotas.models.rollup import Rollup, RollupMark
from quotas.models.satellite import Satellite, ServiceToken
from quotas.models.switch import EnforcementSwitch, Observation

__all__ = [
    "LARGEST_AMOUNT",
    "Alert",
    "AlertSetting",
    "Balance",
    "Credit",
    "Enforcement",
    "EnforcementSwitch",
    "Kind",
    "Lead",
    "LimitAdjustment",
    "NoticeDelivery",
    "NoticeEndpoint",
    "NoticeState",
    "NoticeType",
    "Observation",
    "Overage",
    "OverageReport",
    "PeriodRule",
    "QuotaHead",
    "Refusal",
    "Reservation",
    "Rollup",
    "RollupMark",
    "Satellite",
    "ServiceToken",
    "UsageControl",
    "UsageEvent",
    "UsageLimit",
    "Verb",
]
