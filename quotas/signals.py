"""What quotas announces. Every signal is sent inside the transaction of its cause."""

from django.dispatch import Signal

# organization: Organization, alert: Alert. Once per organization, meter, threshold and period.
usage_crossed = Signal()
# organization: Organization, effective: EffectivePlan. Its limits were written anew.
limits_derived = Signal()
# endpoints: list[int]. Notices to them wait for this transaction's commit.
notices_put = Signal()
