"""Switching enforcement: one audited act per switch, undone by one more.

To `enforce` needs evidence, and where the catalogue says so every organization classified, so that
nobody is refused because they were forgotten.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from billing import catalog
from billing.entitlement.facts import CatalogueNotApplied
from billing.entitlement.store import current
from billing.models import Evidence
from orgs import audit
from orgs.exceptions import DomainError, Unprocessable
from orgs.models import Organization, User
from quotas.engine import limits
from quotas.models import Enforcement, EnforcementSwitch, UsageLimit

_NAMED = 5  # organizations in a refusal


class SwitchRefused(DomainError):
    """Enforcing now would hit organizations that nobody has looked at."""

    status = 409
    code = "enforcement_switch_refused"


@dataclass(frozen=True, kw_only=True)
class Order:
    """Without an organization for the whole deployment, without a subject for all of them."""

    mode: str
    reason: str
    organization: Organization | None = None
    subject: str = ""
    evidence: Evidence | None = None


def switch(order: Order, *, actor: User | audit.Actor) -> EnforcementSwitch:
    """Holds from the commit for an organization; for the deployment as `settle` goes on.

    Raises Unprocessable for what makes no sense, SwitchRefused where enforcing would be too early.
    """
    _check(order)
    if order.mode == Enforcement.ENFORCE:
        _refuse_without_evidence(order.evidence)
        _refuse_unclassified(order.organization)
    with transaction.atomic():
        made: EnforcementSwitch = EnforcementSwitch.objects.create(
            organization=order.organization,
            subject=order.subject,
            mode=order.mode,
            reason=order.reason,
            evidence=order.evidence,
            author=actor if isinstance(actor, User) else None,
        )
        _record("enforcement.switched", made, actor)
        if order.organization is not None:
            _settle_now(made, order.organization)
    made.refresh_from_db()
    return made


def undo(made: EnforcementSwitch, *, actor: User | audit.Actor) -> EnforcementSwitch:
    """What held before the switch holds again. A second undo changes nothing."""
    if made.mode != Enforcement.ENFORCE and _would_enforce(made):
        _refuse_unclassified(made.organization)
    with transaction.atomic():
        found = EnforcementSwitch.objects.select_for_update().get(pk=made.pk)
        if found.undone_at is None:
            found.undone_at = timezone.now()
            found.undone_by = actor if isinstance(actor, User) else None
            found.settled_at = None
            found.save(update_fields=["undone_at", "undone_by", "settled_at"])
            _record("enforcement.undone", found, actor)
            if found.organization is not None:
                _settle_now(found, found.organization)
    return found


def unclassified() -> QuerySet[Organization]:
    """Open organizations of which nobody has decided what they are."""
    found: QuerySet[Organization] = Organization.objects.open().filter(classification=None)
    return found.order_by("created_at", "pk")


def unsettled() -> QuerySet[EnforcementSwitch]:
    found: QuerySet[EnforcementSwitch] = EnforcementSwitch.objects.filter(settled_at=None)
    return found.order_by("pk")


def settle(on_organization: Callable[[], object] = lambda: None) -> int:
    """Derives the limits that unsettled switches concern; safe to repeat and to interrupt."""
    waiting = list(unsettled().values_list("pk", flat=True))
    if not waiting:
        return 0
    done = 0
    for organization in concerned():
        _derive(organization)
        on_organization()
        done += 1
    EnforcementSwitch.objects.filter(pk__in=waiting).update(settled_at=timezone.now())
    return done


def concerned() -> Iterator[Organization]:
    """Whoever has limits: the others derive theirs when they first ask."""
    limited = UsageLimit.objects.values("organization_id")
    organizations = Organization.objects.open().filter(pk__in=limited).order_by("pk")
    yield from organizations.iterator(chunk_size=500)


def _check(order: Order) -> None:
    if order.mode not in Enforcement.values:
        modes = ", ".join(Enforcement.values)
        raise Unprocessable(_("The mode is one of %(modes)s.") % {"modes": modes}, field="mode")
    if not order.reason.strip():
        raise Unprocessable(_("Say why."), field="reason")
    present = catalog.current()
    if order.subject and order.subject not in {*present.meters, *present.features}:
        raise Unprocessable(
            _("“%(subject)s” is neither a meter nor a feature of the catalogue.")
            % {"subject": order.subject},
            field="subject",
        )


def _refuse_without_evidence(evidence: Evidence | None) -> None:
    if evidence is None:
        raise SwitchRefused(_("Attach evidence, a file or a link, before limits are enforced."))


def _refuse_unclassified(organization: Organization | None) -> None:
    if not catalog.current().enforcement.needs_classification:
        return
    left = unclassified()
    if organization is not None:
        left = left.filter(pk=organization.pk)
    count = left.count()
    if count:
        named = ", ".join(left.values_list("slug", flat=True)[:_NAMED])
        raise SwitchRefused(
            _("%(count)s organizations are not classified yet: %(named)s%(more)s")
            % {"count": count, "named": named, "more": " …" if count > _NAMED else ""},
            unclassified=count,
        )


def _would_enforce(made: EnforcementSwitch) -> bool:
    """Whether anything that the switch covers enforces."""
    below = EnforcementSwitch.objects.standing().exclude(pk=made.pk)
    if below.filter(mode=Enforcement.ENFORCE).exists():
        return True
    policy = catalog.current().enforcement
    return Enforcement.ENFORCE in {policy.default, *policy.meters.values()}


def _settle_now(made: EnforcementSwitch, organization: Organization) -> None:
    _derive(organization)
    EnforcementSwitch.objects.filter(pk=made.pk).update(settled_at=timezone.now())


def _derive(organization: Organization) -> None:
    try:
        limits.derive(organization, current(organization))
    except CatalogueNotApplied:
        return  # nothing is on sale: there are no limits


def _record(action: str, made: EnforcementSwitch, actor: User | audit.Actor) -> None:
    instant: datetime | None = made.undone_at
    audit.record(
        action,
        organization=made.organization,
        actor=actor,
        target=made.subject,
        after={
            "mode": made.mode,
            "reason": made.reason,
            "evidence": made.evidence_id,
            "undone_at": instant.isoformat() if instant else None,
        },
    )
