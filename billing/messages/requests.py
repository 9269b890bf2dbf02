"""What members ask of those who can pay."""

from billing.entitlement import clock, store
from billing.messages import outbox
from orgs import audit
from orgs.models import Organization, User


def ask_owner_to_pay(organization: Organization, person: User) -> bool:
    """False when nothing is owed, or the owners were asked today already."""
    owed = store.current(organization).owed_invoice
    if not owed:
        return False
    today = clock.now_for(organization).date().isoformat()
    asked = outbox.put(
        organization,
        "mail.payment_wanted",
        once_per=f"{owed}:{today}",
        payload={"invoice": owed, "person": str(person)},
    )
    if asked:
        audit.record("billing.owner_notified", organization=organization, actor=person)
    return asked
