"""What names people goes: from a deleted organization, and from what a deleted account has done."""

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_noop

from orgs import deletions
from orgs.deletions import Step
from orgs.models import AuditEntry, Deletion, Membership, Organization, SlugHistory, User

_BATCH = 2000
# What is left of its name, for the books; the word is the same in every language.
ERASED_NAME = gettext_noop("Deleted organization")


def erase_people(deletion: Deletion) -> bool:
    """Members, invitations, names, addresses, archives. The former slugs stay nobody's."""
    organization = deletion.organization
    with transaction.atomic():
        Membership.objects.filter(organization=organization).delete()
        organization.invitations.all().delete()
        organization.exports.all().delete()
        Organization.objects.filter(pk=organization.pk).update(
            name=ERASED_NAME,
            slug=f"deleted-{organization.pk.hex}",
            billing_email="",
            time_zone="UTC",
        )
        SlugHistory.objects.filter(organization=organization).exclude(
            slug=f"deleted-{organization.pk.hex}"
        ).update(organization=None)
    return True


def erase_trail(deletion: Deletion) -> bool:
    """That something was done, and when, stays; who, to whom and with which words goes."""
    return empty_entries(AuditEntry.objects.filter(organization=deletion.organization))


def empty_entries(found: QuerySet[AuditEntry]) -> bool:
    """In batches; a trigger lets nothing pass but emptying, and that only of what is gone."""
    full = found.exclude(actor_label="", acting_as="", target="", before=None, after=None)
    while chosen := list(full.values_list("pk", flat=True)[:_BATCH]):
        AuditEntry.objects.filter(pk__in=chosen).update(
            actor_label="", acting_as="", target="", before=None, after=None
        )
    return True


def forget_person(person: User, address: str) -> None:
    """After the account was emptied: what is left of the address in trails that live on."""
    own = AuditEntry.objects.filter(actor_kind=AuditEntry.ActorKind.PERSON, actor_id=str(person.pk))
    places = set(own.order_by().values_list("organization_id", flat=True).distinct())
    own.exclude(actor_label="").update(actor_label="")
    named = AuditEntry.objects.filter(organization_id__in=places - {None}).filter(
        Q(target=address) | Q(before__owner=address) | Q(after__owner=address)
    )
    named.filter(target=address).update(target="", before=None, after=None)
    named.filter(actor_id=str(person.pk)).update(before=None, after=None)
    for model in (AccessAttempt, AccessFailureLog, AccessLog):
        model.objects.filter(username=address).delete()
    LogEntry.objects.filter(user=person).update(object_repr="", change_message="")


def register_steps() -> None:
    deletions.register_steps(
        Step(name="people", run=erase_people, after=("mails",)),
        Step(name="trail", run=erase_trail, after=("people", "billing", "usage")),
    )
