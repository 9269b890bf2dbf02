"""Mails of people and organizations leave through the outbox, so that no crash loses one.

An invitation's link is a secret of which the database keeps the hash alone (E5): the letter is
sealed until it is sent, and nothing of it is kept afterwards.
"""

import hashlib
import json
from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet
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


def _seal() -> Fernet:
    digest = hashlib.sha256(b"letters:" + settings.SECRET_KEY.encode()).digest()
    return Fernet(urlsafe_b64encode(digest))
