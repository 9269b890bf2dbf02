"""What follows from the acts of Django and allauth."""

from typing import Any

from allauth.account.signals import password_reset
from axes.utils import reset as forget_failures
from django.db.models.signals import post_save
from django.dispatch import receiver

from orgs import organizations
from orgs.models import User


@receiver(post_save, sender=User, dispatch_uid="orgs.personal_organization")
def give_personal_organization(sender: type[User], instance: User, **state: Any) -> None:
    """To everybody, whichever door they came in by."""
    if state["created"] and not state["raw"]:
        organizations.create_personal(instance)


@receiver(password_reset, dispatch_uid="orgs.forget_failures")
def let_in_after_a_reset(sender: type[User], user: User, **_kwargs: Any) -> None:
    """The mailbox has proved who it is: the wrong guesses before it count no more."""
    forget_failures(username=user.email)
