"""What quotas announces. Every signal is sent inside the transaction of its cause."""

from django.dispatch import Signal

# organization: Organization, alert: Alert. Once per organization, meter, threshold and period.
usage_crossed = Signal()
