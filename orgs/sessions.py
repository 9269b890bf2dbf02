"""Sessions in PostgreSQL, found by a hash of the cookie: a copied table opens nothing (E28)."""

import base64
import hashlib
from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.base_session import AbstractBaseSession
from django.utils import timezone

_BYTES = 30  # as base64 they fill the forty letters that Django's column has


class SessionStore(db.SessionStore):
    """`session_key` is what the browser holds; a row's is its hash."""

    def _get_session_from_db(self) -> AbstractBaseSession | None:
        found: AbstractBaseSession | None = self.model.objects.filter(
            session_key=_hashed(str(self.session_key)), expire_date__gt=timezone.now()
        ).first()
        if found is None:
            self._session_key = None
        return found

    def exists(self, session_key: str) -> bool:
        return super().exists(_hashed(session_key))

    def delete(self, session_key: str | None = None) -> None:
        wanted = session_key or self.session_key
        if wanted is not None:
            super().delete(_hashed(wanted))

    def create_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        row = super().create_model_instance(data)
        row.session_key = _hashed(row.session_key)
        return row


def _hashed(session_key: str) -> str:
    digest = hashlib.sha256(session_key.encode()).digest()
    return base64.urlsafe_b64encode(digest[:_BYTES]).decode()
