"""Beat by lock: of all beats that run, the one that holds PostgreSQL's lock sends.

Another takes over when its connection ends, however it ends. What both may send in that moment is
safe to send twice: tasks claim rows.
"""

from typing import Any, Final

import psycopg
import structlog
from celery.beat import PersistentScheduler

from quotas.engine.session import Session

logger = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 5.0  # between two tries of a beat that waits
_LOCK: Final = 5_230_119  # of sending, in PostgreSQL's advisory locks
_TAKE: Final = "SELECT pg_try_advisory_lock(%s)"
_STILL: Final = "SELECT 1"  # a lost connection has lost the lock with it


class OneBeat(PersistentScheduler):
    """Celery's own scheduler, which does nothing while another beat has the lock."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._session = Session("beat")
        self._leads = False
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        if not self._has_lock():
            return LOOK_SECONDS
        return min(float(super().tick(*args, **kwargs)), LOOK_SECONDS)

    def close(self) -> None:
        super().close()
        self._session.close()

    def _has_lock(self) -> bool:
        statement, values = (_STILL, None) if self._leads else (_TAKE, [_LOCK])
        try:
            ((found,),) = self._session.run(lambda c: c.execute(statement, values).fetchall())
        except psycopg.Error as error:
            if self._leads:
                logger.warning("celery.beat_lost_its_lock", error=str(error)[:200])
            self._leads = False
            self._session.close()
            return False
        if found and not self._leads:
            logger.info("celery.beat_leads")
        self._leads = bool(found)
        return self._leads
