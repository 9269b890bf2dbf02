"""Mails of people and organizations leave through the outbox, so that no crash loses one.

An invitation's link is a secret of which the database keeps the hash alone (E5): the letter is
sealed until it is sent, and nothing of it is kept afterwards.
"""

import hashlib
import json
from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from billing import catalog
from billing.messages import outbox
from billing.models import OutboxMessage
from orgs.messages import Mail


def post(mail: Mail) -> None:
    """Once per occasion, unless the catalogue's [mail] has switched the kind off."""
    kind = mail.key.partition(":")[0]
    if not getattr(catalog.current().mail, kind, True):
        return
    letter = {"to": mail.to, "subject": mail.subject, "text": mail.text, "html": mail.html}
    sealed = _seal().encrypt(json.dumps(letter).encode()).decode()
    outbox.put(mail.organization, f"letter.{kind}", once_per=mail.key, payload={"sealed": sealed})


@outbox.sender("letter")
def send(message: OutboxMessage) -> None:
    letter = json.loads(_seal().decrypt(message.payload["sealed"].encode()))
    mail = EmailMultiAlternatives(letter["subject"], letter["text"], to=[letter["to"]])
    mail.attach_alternative(letter["html"], "text/html")
    mail.send()
    OutboxMessage.objects.filter(pk=message.pk).update(payload={})


def _seal() -> MultiFernet:
    """Seals with SECRET_KEY; opens what a former key sealed that is still a fallback."""
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    return urlsafe_b64encode(hashlib.sha256(b"letters:" + key.encode()).digest())
