"""Seeds of second factors, encrypted at rest: a copy of the tables makes nobody's codes (E21)."""

from typing import Final

from allauth.mfa.adapter import DefaultMFAAdapter

from orgs import vault

_PURPOSE: Final = "ledgerline second factors"
_CLOSED: Final = "gAAAA"  # how every Fernet token begins; no seed does, being base32 or hex


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    def encrypt(self, text: str) -> str:
        return vault.closed(text, _PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        """Seeds of before this adapter stand as they are until their factor is set up again."""
        if not encrypted_text.startswith(_CLOSED):
            return encrypted_text
        return vault.opened(encrypted_text, _PURPOSE)
