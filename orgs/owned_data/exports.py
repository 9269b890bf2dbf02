"""Archives asked for, built by a worker, fetched by owners, gone after some days."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from orgs import audit, signals
from orgs.exceptions import ExportNotReady, TooManyExports
from orgs.models import DataExport, ExportChunk, Organization, User
from orgs.owned_data import archive, tables
from orgs.owned_data.tables import Scope

logger = structlog.get_logger(__name__)

MOST_A_DAY: Final = 5
_ATTEMPTS: Final = 3
_LEASE: Final = timedelta(minutes=10)  # far more than lies between two words about the progress
_CHUNK: Final = 2**20
State = DataExport.State


def ask(organization: Organization, *, actor: User) -> DataExport:
    """One at a time: who asks again meanwhile gets the one that is being built."""
    try:
        with transaction.atomic():
            return _ask(organization, actor)
    except IntegrityError:  # two at once
        return organization.exports.unfinished().get()


def _ask(organization: Organization, actor: User) -> DataExport:
    waiting: DataExport | None = organization.exports.unfinished().first()
    if waiting is not None:
        return waiting
    today = organization.exports.filter(asked_at__gt=timezone.now() - timedelta(days=1))
    if today.count() >= MOST_A_DAY:
        raise TooManyExports(
            _("At most %(most)s archives a day.") % {"most": MOST_A_DAY},
            headers={"Retry-After": "3600"},
        )
    export: DataExport = organization.exports.create(asked_by=actor)
    audit.record("organization.export_asked", organization=organization, actor=actor)
    signals.export_asked.send(DataExport, export=export)
    return export


def newest(organization: Organization) -> DataExport | None:
    """The one that pages and the API speak of: nothing that is gone."""
    found: DataExport | None = organization.exports.order_by("-asked_at", "-pk").first()
    expired = found is not None and found.expires_at is not None
    return None if expired and found.expires_at <= timezone.now() else found  # type: ignore[union-attr,operator]


def fetch(organization: Organization, *, actor: User) -> tuple[DataExport, Iterator[bytes]]:
    """The newest archive that is ready, piece by piece; the audit trail says who took it."""
    ready = organization.exports.downloadable(timezone.now()).order_by("-asked_at").first()
    if ready is None:
        raise ExportNotReady(_("There is no archive to download. Ask for one first."))
    audit.record(
        "organization.export_downloaded",
        organization=organization,
        actor=actor,
        target=str(ready.pk),
        after={"size": ready.size},
    )
    return ready, _pieces(ready)


def due() -> list[UUID]:
    return list(DataExport.objects.due(timezone.now()).values_list("pk", flat=True)[:20])


def build(export_id: UUID) -> bool:
    """From the beginning, whatever a worker that died had done of it."""
    export = _lease(export_id)
    if export is None:
        return False
    try:
        _build(export)
    except Exception:
        given_up = export.attempts >= _ATTEMPTS
        told = "alert.export_failed" if given_up else "export.failed"
        logger.exception(told, export=str(export.pk), attempt=export.attempts)
        export.chunks.all().delete()
        export.state = State.FAILED if given_up else State.WAITING
        export.finished_at = timezone.now() if given_up else None
        export.leased_until = None if given_up else timezone.now() + timedelta(minutes=1)
        export.save(update_fields=["state", "finished_at", "leased_until"])
        return False
    return True


def _lease(export_id: UUID) -> DataExport | None:
    now = timezone.now()
    mine = DataExport.objects.due(now).filter(pk=export_id)
    if not mine.update(state=State.BUILDING, leased_until=now + _LEASE):
        return None
    export = DataExport.objects.select_related("organization").get(pk=export_id)
    export.attempts += 1
    export.rows_done = 0
    export.save(update_fields=["attempts", "rows_done"])
    return export


def _build(export: DataExport) -> None:
    export.chunks.all().delete()
    scope = Scope(organization=export.organization, until=timezone.now())
    chosen = tables.all_tables()
    export.rows_expected = sum(table.count(scope) for table in chosen)
    export.save(update_fields=["rows_expected"])

    def said(rows: int) -> None:
        DataExport.objects.filter(pk=export.pk).update(
            rows_done=rows, leased_until=timezone.now() + _LEASE
        )

    sink = _Chunks(export)
    archive.write(sink, scope, chosen, said)
    sink.close()
    now = timezone.now()
    export.refresh_from_db(fields=["rows_done"])
    export.state, export.size, export.sha256 = State.READY, sink.size, sink.digest.hexdigest()
    export.leased_until, export.finished_at = None, now
    export.expires_at = now + timedelta(days=settings.EXPORT_KEPT_DAYS)
    export.save()
    logger.info("export.ready", export=str(export.pk), bytes=export.size, rows=export.rows_done)


class _Chunks:
    """Rows of one MiB each."""

    def __init__(self, export: DataExport) -> None:
        self.export, self.size, self.digest = export, 0, hashlib.sha256()
        self._buffer = bytearray()
        self._number = 0

    def write(self, data: bytes, /) -> int:
        self._buffer += data
        self.size += len(data)
        self.digest.update(data)
        while len(self._buffer) >= _CHUNK:
            self._put(_CHUNK)
        return len(data)

    def flush(self) -> None:
        return

    def close(self) -> None:
        if self._buffer:
            self._put(len(self._buffer))

    def _put(self, length: int) -> None:
        ExportChunk.objects.create(
            export=self.export, number=self._number, data=bytes(self._buffer[:length])
        )
        self._number += 1
        del self._buffer[:length]


def _pieces(export: DataExport) -> Iterator[bytes]:
    number = 0
    while True:
        chunk = export.chunks.filter(number=number).values_list("data", flat=True).first()
        if chunk is None:
            return
        yield bytes(chunk)
        number += 1
