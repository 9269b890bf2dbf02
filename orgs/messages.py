"""The mails of people and organizations, one function each, sent after the commit.

Each speaks the language of its organization, as text and as HTML. Billing binds its outbox with
`bind_post_office` so that a mail survives a crash between commit and send.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from orgs.models import Deletion, Invitation, Membership, Organization, Role, User


@dataclass(frozen=True, kw_only=True)
class Mail:
    """Ready to send. `key` is the same for the same occasion, so that it is sent once."""

    key: str
    organization: Organization
    to: str
    subject: str
    text: str
    html: str


def send_directly(mail: Mail) -> None:
    """Django's mail backend, once the transaction has committed."""
    message = EmailMultiAlternatives(mail.subject, mail.text, to=[mail.to])
    message.attach_alternative(mail.html, "text/html")
    transaction.on_commit(message.send, robust=True)


PostOffice = Callable[[Mail], None]


class _Bound:
    put: PostOffice = staticmethod(send_directly)


def bind_post_office(put: PostOffice | None) -> PostOffice:
    """Returns the former one; None goes back to sending directly."""
    former = _Bound.put
    _Bound.put = staticmethod(send_directly if put is None else put)
    return former


def invitation(invitation: Invitation, secret: str) -> None:
    organization = invitation.organization
    with translation.override(organization.language):
        subject = _("%(inviter)s invites you to %(organization)s") % {
            "inviter": str(invitation.invited_by or _("Someone")),
            "organization": organization.name,
        }
        context = {
            "invitation": invitation,
            "inviter": invitation.invited_by,
            "role": invitation.get_role_display(),
            "url": at_our_site("orgs:invitation", token=secret),
        }
        _put(
            "invitation",
            f"invitation:{invitation.token_hash}",
            organization,
            invitation.email,
            subject,
            context,
        )


def ownership_received(membership: Membership, giver: User) -> None:
    organization = membership.organization
    with translation.override(organization.language):
        subject = _("You now own %(organization)s") % {"organization": organization.name}
        context = {
            "giver": giver,
            "person": membership.user,
            "url": at_our_site("orgs:members", slug=organization.slug),
        }
        key = f"ownership:{membership.pk}:{giver.pk}"
        _put("ownership", key, organization, membership.user.email, subject, context)


def deletion_asked(deletion: Deletion) -> None:
    """To every owner: any of them can keep it."""
    organization = deletion.organization
    with translation.override(organization.language):
        subject = _("%(organization)s is going to be deleted") % {"organization": organization.name}
        context = {
            "deletion": deletion,
            "person": str(deletion.asked_by or _("Someone")),
            "url": at_our_site("orgs:data", slug=organization.slug),
        }
        owners = organization.memberships.filter(role=Role.OWNER).select_related("user")
        for owner in owners:
            key = f"deletion:{owner.pk}:{deletion.due_at.isoformat()}"
            _put("deletion", key, organization, owner.user.email, subject, context)


def at_our_site(url_name: str, **kwargs: Any) -> str:
    """An absolute link from SITE_URL, never from a request's Host header (E23)."""
    return str(settings.SITE_URL) + reverse(url_name, kwargs=kwargs)


def _put(
    name: str,
    key: str,
    organization: Organization,
    to: str,
    subject: str,
    context: dict[str, Any],
) -> None:
    everything = context | {"organization": organization, "subject": subject}
    _Bound.put(
        Mail(
            key=key,
            organization=organization,
            to=to,
            subject=_one_line(subject),
            text=render_to_string(f"emails/orgs/{name}.txt", everything),
            html=render_to_string(f"emails/orgs/{name}.html", everything),
        )
    )


def _one_line(subject: str) -> str:
    """A name with a line break must not add a header (E22)."""
    return " ".join(subject.split())
