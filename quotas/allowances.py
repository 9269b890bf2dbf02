"""What we or a purchase add to an organization's limits: credits, add-on packs, overrides."""

from datetime import datetime
from typing import TypedDict, Unpack

from django.db import IntegrityError, transaction

from billing.entitlement.clock import now_for
from billing.entitlement.store import current
from orgs import audit
from orgs.models import Organization, User
from quotas.engine import asking, limits, meters
from quotas.exceptions import InvalidRequest, UnknownMeter
from quotas.models import Credit, LimitAdjustment


class CreditTerms(TypedDict, total=False):
    """`reference` names what paid for it: the same one credits once."""

    starts_at: datetime
    expires_at: datetime | None
    priority: int
    reference: str | None
    author: User | None


class AdjustmentTerms(TypedDict, total=False):
    starts_at: datetime
    ends_at: datetime | None
    author: User | None


def add_credits(
    organization: Organization,
    meter: str,
    amount: int,
    *,
    reason: str,
    **terms: Unpack[CreditTerms],
) -> Credit:
    """Prepaid units of a flow, burned after the allowance."""
    if meters.meter(meter).kind != "flow":
        raise UnknownMeter(f"“{meter}” is no flow; only flows have credits.", field="meter")
    asking.whole(amount)
    effective = current(organization)  # first: billing's lock comes before the head's
    with transaction.atomic():
        limits.lock_head(organization)
        known = Credit.objects.filter(reference=terms.get("reference")).first()
        if known is not None and terms.get("reference"):
            return known
        credit = Credit.objects.create(
            organization=organization,
            meter=meter,
            amount=amount,
            remaining=amount,
            reason=reason,
            **terms,
        )
        limits.derive(organization, effective)
        _audit("credits.added", organization, meter, amount, reason, terms.get("author"))
        return credit


def keep_credits(organization: Organization, reference: str, keep: int) -> None:
    """After a refund: of the pack no more than `keep` units were ever paid; used ones are gone."""
    effective = current(organization)
    with transaction.atomic():
        limits.lock_head(organization)
        credit = Credit.objects.filter(organization=organization, reference=reference).first()
        if credit is None or keep >= credit.amount:
            return
        used = credit.amount - credit.remaining
        credit.remaining = max(keep - used, 0)
        credit.amount = max(keep, used, 1)
        if keep <= 0:  # nothing of it comes back, not even by a release
            credit.expires_at = now_for(organization)
        credit.save(update_fields=["amount", "remaining", "expires_at"])
        limits.derive(organization, effective)
        _audit("credits.taken_back", organization, credit.meter, keep, credit.reason, None)


def adjust_limit(
    organization: Organization,
    meter: str,
    mode: LimitAdjustment.Mode,
    amount: int | None,
    *,
    reason: str,
    **terms: Unpack[AdjustmentTerms],
) -> LimitAdjustment:
    """An override (`set`; None is unlimited) or an add-on pack (`add`), until `ends_at`."""
    meters.meter(meter)
    if not reason.strip():
        raise InvalidRequest("Say why.", field="reason")
    added = mode == LimitAdjustment.Mode.ADD
    source = LimitAdjustment.Source.ADD_ON if added else LimitAdjustment.Source.OVERRIDE
    effective = current(organization)
    with transaction.atomic():
        limits.lock_head(organization)
        adjustment = LimitAdjustment(
            organization=organization,
            meter=meter,
            mode=mode,
            source=source,
            amount=amount,
            reason=reason,
            **terms,
        )
        try:
            with transaction.atomic():
                adjustment.save()
        except IntegrityError as error:
            raise InvalidRequest("The amount or the dates cannot be.", field="amount") from error
        limits.derive(organization, effective)
        _audit("limit.adjusted", organization, meter, amount, reason, terms.get("author"))
        return adjustment


def _audit(
    action: str,
    organization: Organization,
    meter: str,
    amount: int | None,
    reason: str,
    author: User | None,
) -> None:
    audit.record(
        action,
        organization=organization,
        actor=author,
        target=meter,
        after={"amount": amount, "reason": reason},
    )
