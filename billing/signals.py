"""What billing tells the floors above. Sent inside the transaction that made it true."""

from django.dispatch import Signal

# Arguments: organization: Organization, effective: EffectivePlan. Receivers rewrite derived rows.
entitlement_changed = Signal()
# Arguments: customer_id: str. Rows of this customer wait in the inbox (the task listens).
events_arrived = Signal()
# Arguments: customer_id: str, events: list[InboxEvent]. Sent in the transaction that applied them.
events_applied = Signal()
# Arguments: organization. Its invoice rows were brought up to date; paid ones may roll periods.
invoices_copied = Signal()
# Arguments: purchase: PackPurchase. It was paid, or money of it went back.
credits_settled = Signal()
# Arguments: moved: CustomerTransfer. A customer changed hands; Stripe is still to be told.
customer_transferred = Signal()
# Arguments: organization. It has more than one live subscription: one stays, the others end (B3).
duplicates_found = Signal()
# Arguments: organization. It is closed and still has a live subscription (B9).
subscription_orphaned = Signal()
# Arguments: organization. A subscription that we ended was paid: the money goes back (B3, B9).
refund_due = Signal()
# Arguments: organization. It tries with a card that has had its trial elsewhere.
trial_repeated = Signal()

# Arguments: catalog: str, plans: frozenset[int] (ids of plan rows whose terms changed). Whoever
# derives rows from plans re-derives them.
catalog_applied = Signal()
