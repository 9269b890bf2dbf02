"""What follows from the acts of Django and allauth."""

from typing import Any

from allauth.account.signals import password_reset
from axes.utils import reset as forget_failures
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest

from orgs import browsers, deletions, organizations, sessions
from orgs.models import Organization, User
from orgs.signals import organization_closed


@receiver(post_save, sender=User, dispatch_uid="orgs.personal_organization")
def give_personal_organization(sender: type[User], instance: User, **state: Any) -> None:
    """To everybody, whichever door they came in by."""
    if state["created"] and not state["raw"]:
        organizations.create_personal(instance)


@receiver(user_logged_in, dispatch_uid="orgs.begin_session")
def begin_session(sender: type[User], request: HttpRequest, **_kwargs: Any) -> None:
    """What its owner is told about it later."""
    sessions.begin(request.session, browsers.described(request.headers.get("user-agent", "")))


@receiver(password_reset, dispatch_uid="orgs.forget_failures")
def let_in_after_a_reset(sender: type[User], user: User, **_kwargs: Any) -> None:
    """The mailbox has proved who it is: the wrong guesses before it count no more."""
    forget_failures(username=user.email)


@receiver(organization_closed, dispatch_uid="orgs.erase_what_is_closed")
def erase_what_is_closed(
    sender: type[Organization], organization: Organization, actor: User | None, **_kwargs: Any
) -> None:
    """A personal one goes with its account, which leaves nobody who could change their mind."""
    at_once = organization.kind == Organization.Kind.PERSONAL
    deletions.follow_closing(organization, actor, at_once=at_once)
