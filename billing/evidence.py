"""Keeps what was seen to hold, and answers whether it is on file."""

import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from billing import catalog
from billing.models import Evidence
from orgs import audit
from orgs.exceptions import Unprocessable
from orgs.models import User


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A file or a link that a person names as evidence."""

    summary: str = ""
    link: str = ""
    file_name: str = ""
    content: bytes = b""


def attach(found: Attachment, *, author: User | None) -> Evidence:
    """Raises Unprocessable without a file or a link, for a link to nowhere, a file too large."""
    if not found.link and not found.content:
        raise Unprocessable(_("Attach a file or a link as evidence."), field="evidence")
    if found.link and urlsplit(found.link).scheme not in {"http", "https"}:
        raise Unprocessable(_("The link must start with https://."), field="evidence")
    if len(found.content) > Evidence.LARGEST_FILE:
        raise Unprocessable(_("The file must be smaller than 5 MB."), field="evidence")
    name = found.file_name.replace("\\", "/").rpartition("/")[2][:200]
    evidence: Evidence = Evidence.objects.create(
        kind=Evidence.Kind.ATTACHED,
        livemode=settings.STRIPE_LIVE_MODE,
        catalog=catalog.current().key,
        summary=(found.summary or name or found.link)[:300],
        link=found.link,
        file_name=name,
        file=found.content or None,
        sha256=hashlib.sha256(found.content).hexdigest() if found.content else "",
        author=author,
    )
    return evidence


def store(
    kind: str, *, passed: bool, summary: str, report: dict[str, Any], author: User | None = None
) -> Evidence:
    """The outcome of a run of doctor or smoke, failures too."""
    evidence: Evidence = Evidence.objects.create(
        kind=kind,
        passed=passed,
        livemode=settings.STRIPE_LIVE_MODE,
        catalog=catalog.current().key,
        summary=summary[:300],
        report=report,
        author=author,
    )
    audit.record(
        f"evidence.{kind}",
        organization=None,
        actor=author,
        target=str(evidence.pk),
        after={"passed": passed, "livemode": evidence.livemode, "summary": evidence.summary},
    )
    return evidence


def latest(kind: str) -> Evidence | None:
    """Of this mode and this catalogue."""
    found: Evidence | None = (
        Evidence.objects.filter(kind=kind, catalog=catalog.current().key)
        .of_mode(livemode=settings.STRIPE_LIVE_MODE)
        .defer("file")
        .newest_first()
        .first()
    )
    return found


def smoke_is_on_file() -> bool:
    """The newest smoke run of this mode passed."""
    found = latest(Evidence.Kind.SMOKE)
    return found is not None and bool(found.passed)
