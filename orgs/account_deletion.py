"""A person leaves for good: memberships end, what names them goes, and the books stay."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.db import transaction
from django.utils import timezone

from orgs import audit, erasure, members, organizations
from orgs.models import Impersonation, Organization, User


@transaction.atomic
def delete_account(person: User) -> None:
    """Closes the personal organization with its subscription, and leaves every team.

    Raises LastOwner while a team would be left without an owner. The audit trail and the invoices
    keep that something was done, and when; usage names an opaque id alone.
    """
    for organization in Organization.objects.of_member(person).order_by("created_at"):
        if organization.kind == Organization.Kind.PERSONAL:
            organizations.close(organization, actor=person, with_account=True)
        else:
            members.leave(organization, user=person)
    audit.record("account.deleted", organization=None, actor=person)
    address = person.email
    _forget(person)
    erasure.forget_person(person, address)


def _forget(person: User) -> None:
    EmailAddress.objects.filter(user=person).delete()
    Authenticator.objects.filter(user=person).delete()
    person.sessions.all().delete()
    Impersonation.objects.filter(person=person).delete()  # that there were some, the trail says
    person.api_tokens.filter(revoked_at=None).update(revoked_at=timezone.now())
    person.email = f"{person.pk}@deleted.invalid"
    person.name = ""
    person.is_active = person.is_staff = person.is_superuser = False
    person.current_organization = None
    person.set_unusable_password()
    person.save()
