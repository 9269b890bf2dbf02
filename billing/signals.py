"""What billing tells the floors above. Sent inside the transaction that made it true."""

from django.dispatch import Signal

# Arguments: organization: Organization, effective: EffectivePlan. Receivers rewrite derived rows.
entitlement_changed = Signal()
