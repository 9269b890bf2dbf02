"""The order in which Stripe was seen to deliver what one act caused. It guarantees none."""

# A real log of a first payment through Checkout; invoice_payment.paid came 14 seconds later.
CHECKOUT_PAID = (
    "charge.succeeded",
    "charge.pending",
    "payment_method.attached",
    "customer.created",
    "customer.updated",
    "checkout.session.completed",
    "customer.discount.created",
    "customer.subscription.created",
    "payment_intent.created",
    "payment_intent.processing",
    "payment_intent.succeeded",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_succeeded",
    "customer.discount.deleted",
    "invoice_payment.paid",
)
# A real log of a trial with a card: the invoice is of $0.
CHECKOUT_TRIAL = (
    "payment_method.attached",
    "setup_intent.succeeded",
    "setup_intent.created",
    "checkout.session.completed",
    "customer.created",
    "customer.updated",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_succeeded",
    "customer.subscription.created",
)
# A real log of a renewal's payment, an hour after its draft.
RENEWAL_PAID = (
    "payment_intent.created",
    "payment_intent.succeeded",
    "charge.succeeded",
    "customer.updated",
    "invoice.updated",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice.finalized",
    "customer.subscription.updated",
    "invoice_payment.paid",
)
# A real log of an upgrade that is invoiced at once.
CHANGE_INVOICED = (
    "customer.updated",
    "invoice.created",
    "invoice.finalized",
    "payment_intent.created",
    "charge.succeeded",
    "charge.failed",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "invoice.updated",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice.payment_failed",
    "customer.subscription.updated",
    "invoiceitem.created",
    "invoice_payment.paid",
)
