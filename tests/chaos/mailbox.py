"""A mail server that keeps a line per mail, whoever sends it, and survives whom it serves."""

import os
from collections.abc import Sequence
from pathlib import Path

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from tests import installation


class Mailbox(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        lines = "".join(f"{', '.join(mail.to)}: {mail.subject}\n" for mail in email_messages)
        file = os.open(path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, lines.encode())  # one write is one line of the file, or none
        finally:
            os.close(file)
        return len(email_messages)


def path() -> Path:
    return installation.var() / "chaos" / "mailbox"


def mails() -> list[str]:
    return path().read_text().splitlines() if path().exists() else []
