"""What quotas announces, inside the transaction of its cause unless it says otherwise."""

from django.dispatch import Signal

# organization: Organization, alert: Alert. Once per organization, meter, threshold and period.
usage_crossed = Signal()
# organization: Organization, effective: EffectivePlan. Its limits were written anew.
limits_derived = Signal()
# endpoints: list[int]. Notices to them wait for this transaction's commit.
notices_put = Signal()

# organization: Organization. Some meter allows less than before. Sent after the commit, because
# whoever hears it reads usage, and the head's lock must not wait for that.
limits_lowered = Signal()
# organization: Organization. Its renewal's invoice is a draft: usage of the period is still taken.
renewal_drafted = Signal()
