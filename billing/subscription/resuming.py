"""What Stripe paused, because its trial ended without a card, goes on when asked."""

from uuid import uuid4

from django.db import transaction
from django.utils.translation import gettext as _

from billing.exceptions import NothingToChange, NotSubscribed
from billing.gateway import stripe_api
from billing.models import Subscription
from billing.subscription import holding
from orgs import audit
from orgs.models import Organization, User


def paused(organization: Organization) -> Subscription | None:
    found: Subscription | None = organization.subscriptions.filter(status="paused").first()
    return found


@transaction.atomic
def resume(organization: Organization, person: User) -> None:
    """Charges the card on file and begins a new period; a card that fails leaves it paused.

    Raises NotSubscribed where nothing is paused, NothingToChange without a card.
    """
    holding.lock(organization)
    subscription = paused(organization)
    if subscription is None:
        raise NotSubscribed(_("Nothing is paused here."), next_action="checkout")
    if not organization.payment_methods.exists():
        raise NothingToChange(_("Add a card first, then resume."), next_action="portal")
    stripe_api.resume_subscription(subscription.stripe_id, key=f"resume:{uuid4().hex}")
    audit.record(
        "billing.resumed",
        organization=organization,
        actor=person,
        target=subscription.stripe_id,
    )
    holding.bring_up_to_date(organization, cause="resumed")
