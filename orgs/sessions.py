"""Sessions in PostgreSQL, found by a hash of the cookie: a copied table opens nothing (E28).

A session ends when it was not used for `SESSION_IDLE`, and `SESSION_COOKIE_AGE` seconds after the
sign-in at the latest, however much it is used.
"""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import SessionBase
from django.utils import timezone

from orgs.models import Session, User

_BYTES = 30  # as base64 they fill the forty letters that Django's column has
_BEGAN: Final = "began"
_BROWSER: Final = "browser"
_RESOLUTION: Final = timedelta(minutes=15)


class SessionStore(db.SessionStore):
    """`session_key` is what the browser holds; a row's is its hash."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def _get_session_from_db(self) -> Session | None:
        now = timezone.now()
        found = Session.objects.filter(
            session_key=hashed(str(self.session_key)),
            expire_date__gt=now,
            seen_at__gt=now - settings.SESSION_IDLE,
        ).first()
        if found is None:
            self._session_key = None
        elif found.seen_at < now - _RESOLUTION:
            Session.objects.filter(pk=found.pk).update(seen_at=now)
        return found

    def exists(self, session_key: str) -> bool:
        return super().exists(hashed(session_key))

    def delete(self, session_key: str | None = None) -> None:
        wanted = session_key or self.session_key
        if wanted is not None:
            super().delete(hashed(wanted))

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        row = cast(Session, super().create_model_instance(data))
        row.session_key = hashed(row.session_key)
        row.person_id = data.get(SESSION_KEY)
        row.browser = data.get(_BROWSER, "")
        row.seen_at = timezone.now()
        began = data.get(_BEGAN)
        row.began_at = row.seen_at if began is None else datetime.fromtimestamp(began, UTC)
        last = row.began_at + timedelta(seconds=settings.SESSION_COOKIE_AGE)
        row.expire_date = min(row.expire_date, last)
        return row


def begin(session: SessionBase, browser: str) -> None:
    """At a sign-in; a new key, such as a new password gives, does not begin it again."""
    session[_BEGAN] = timezone.now().timestamp()
    session[_BROWSER] = browser


def of_person(person: User) -> list[Session]:
    """Those that still open something: a new password has ended all that were before it."""
    now = timezone.now()
    rows = person.sessions.filter(expire_date__gt=now, seen_at__gt=now - settings.SESSION_IDLE)
    proof, read = person.get_session_auth_hash(), SessionStore().decode
    newest_first = rows.order_by("-seen_at")
    return [row for row in newest_first if read(row.session_data).get(HASH_SESSION_KEY) == proof]


def end(person: User, *, but: str, only: str = "") -> int:
    """How many ended: all of a person's but one, or one of them by its row's key."""
    rows = person.sessions.exclude(pk=but)
    ended, _by_table = (rows.filter(pk=only) if only else rows).delete()
    return ended


def hashed(session_key: str) -> str:
    digest = hashlib.sha256(session_key.encode()).digest()
    return base64.urlsafe_b64encode(digest[:_BYTES]).decode()
