"""Every new user gets a personal organization, whichever door they came in by."""

from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from orgs import organizations
from orgs.models import User


@receiver(post_save, sender=User, dispatch_uid="orgs.personal_organization")
def give_personal_organization(sender: type[User], instance: User, **state: Any) -> None:
    if state["created"] and not state["raw"]:
        organizations.create_personal(instance)
