"""What is kept how long: every floor registers its rules, and one task enforces them all.

docs/privacy.md has the same table; a test compares them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from allauth.account.models import EmailConfirmation
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session as FormerSession
from django.db import connection, transaction
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from orgs.models import DataExport, Invitation, PersonalToken, Session

logger = structlog.get_logger(__name__)

BATCH: Final = 1000
_SECONDS: Final = 60.0  # of one run; what is left waits for the next


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`forget` takes an instant and how many rows at most; it returns how many it forgot.

    `days` is a name in settings.KEEP_DAYS; without one the rows themselves say when they end.
    """

    name: str
    what: str
    forget: Callable[[datetime, int], int]
    days: str = ""

    def older_than(self, now: datetime) -> datetime:
        return now - timedelta(days=settings.KEEP_DAYS[self.days] if self.days else 0)


_RULES: dict[str, Rule] = {}


def register(*rules: Rule) -> None:
    _RULES.update({rule.name: rule for rule in rules})


def all_rules() -> list[Rule]:
    return list(_RULES.values())


def enforce(seconds: float = _SECONDS) -> dict[str, int]:
    """Rule → rows. In batches of their own transactions; a rule that fails holds up no other."""
    ends, gone = time.monotonic() + seconds, {}
    for rule in all_rules():
        try:
            forgotten = _enforce(rule, ends)
        except Exception:
            logger.exception("alert.retention_failed", rule=rule.name)
            continue
        if forgotten:
            gone[rule.name] = forgotten
    if gone:
        logger.info("retention.enforced", **gone)
    return gone


def _enforce(rule: Rule, ends: float) -> int:
    before, total = rule.older_than(timezone.now()), 0
    while True:
        with transaction.atomic():
            forgotten = rule.forget(before, BATCH)
        total += forgotten
        if forgotten < BATCH or time.monotonic() > ends:
            return total


def delete(found: QuerySet[Any], most: int) -> int:
    """So many of them, and how many that were."""
    chosen = list(found.values_list("pk", flat=True)[:most])
    if chosen:
        found.model._default_manager.filter(pk__in=chosen).delete()  # noqa: SLF001  Django documents it
    return len(chosen)


def older(model: type[Model], field: str) -> Callable[[datetime, int], int]:
    return lambda before, most: delete(
        model._default_manager.filter(**{f"{field}__lt": before}),  # noqa: SLF001  Django documents it
        most,
    )


# --- The rules of this floor -------------------------------------------------------------------


def _sessions(before: datetime, most: int) -> int:
    """Idle ones, too; and those of the table that held them before."""
    idle = Q(expire_date__lt=before) | Q(seen_at__lt=before - settings.SESSION_IDLE)
    former = older(FormerSession, "expire_date")(before, most)
    return max(former, delete(Session.objects.filter(idle), most))


def _login_attempts(before: datetime, most: int) -> int:
    models = (AccessAttempt, AccessFailureLog, AccessLog)
    return max(older(model, "attempt_time")(before, most) for model in models)


def _cached(before: datetime, most: int) -> int:
    """The cache drops an entry that is asked for too late; those that nobody asks for stay."""
    table = connection.ops.quote_name(str(settings.CACHES["default"]["LOCATION"]))
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE cache_key IN"  # noqa: S608  a name of ours
            f" (SELECT cache_key FROM {table} WHERE expires < %s LIMIT %s)",
            [before, most],
        )
        return int(cursor.rowcount)


def _invitations(before: datetime, most: int) -> int:
    ended = (
        Q(accepted_at__lt=before)
        | Q(revoked_at__lt=before)
        | Q(accepted_at=None, revoked_at=None, expires_at__lt=before)
    )
    return delete(Invitation.objects.filter(ended), most)


def _api_keys(before: datetime, most: int) -> int:
    return delete(
        PersonalToken.objects.filter(Q(revoked_at__lt=before) | Q(expires_at__lt=before)), most
    )


def _exports(before: datetime, most: int) -> int:
    failed = Q(state=DataExport.State.FAILED, finished_at__lt=before - timedelta(days=1))
    return delete(DataExport.objects.filter(Q(expires_at__lte=before) | failed), min(most, 10))


register(
    Rule(name="sessions", what="sessions that have expired", forget=_sessions),
    Rule(
        name="login attempts",
        what="sign-ins and failed tries with address, browser and e-mail",
        forget=_login_attempts,
        days="login_attempts",
    ),
    Rule(
        name="confirmations",
        what="links that confirm an e-mail address",
        forget=older(EmailConfirmation, "created"),
        days="login_attempts",
    ),
    Rule(name="cache", what="cached values that have expired", forget=_cached),
    Rule(
        name="invitations",
        what="invitations that were used, withdrawn or left to expire",
        forget=_invitations,
        days="invitations",
    ),
    Rule(
        name="API keys",
        what="API keys that were revoked or have expired",
        forget=_api_keys,
        days="api_keys",
    ),
    Rule(name="archives", what="archives for download that have expired", forget=_exports),
)
