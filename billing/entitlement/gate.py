"""Where the lock meets the floor below: calls of the API, and people who would join."""

from typing import Any

from django.dispatch import receiver

from billing.entitlement import access
from billing.entitlement.facts import CatalogueNotApplied
from orgs.models import Organization
from orgs.signals import member_adding


class Gate:
    """The GatePort that is bound when billing starts; where nothing is sold, nothing locks."""

    def check(self, organization: Organization) -> None:
        try:
            access.check_write(organization)
        except CatalogueNotApplied:
            return


@receiver(member_adding)
def on_member_adding(sender: Any, organization: Organization, **kwargs: Any) -> None:
    """A mailed invitation names no organization in its URL; joining is a write all the same."""
    Gate().check(organization)
