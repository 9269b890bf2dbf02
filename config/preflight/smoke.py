"""The smoke run with every floor's steps, kept as evidence."""

from django.db import transaction
from django.db.models import Sum

from billing import evidence, findings
from billing.entitlement import store
from billing.entitlement.clock import now_for
from billing.findings import Finding, failed, ok, skipped
from billing.models import Evidence
from billing.preflight import smoke
from billing.preflight.smoke import OnStep, Wait
from orgs.models import Organization, User
from orgs.signals import member_adding
from quotas.engine import limits, members
from quotas.exceptions import QuotaExceeded
from quotas.models import LimitAdjustment, Observation


def run(
    *,
    author: User | None = None,
    wait: Wait = smoke.wait,
    on_step: OnStep = lambda _finding: None,
) -> Evidence:
    """Whatever comes of it is on file afterwards."""
    price = smoke.price_to_try()
    if price is None:
        found = [failed("checkout", "No price can be bought by an organization.")]
        on_step(found[0])
    else:
        walk = smoke.prepare(price, wait=wait, further=[seat_gate])
        found = list(smoke.walk(walk, on_step))
    return evidence.store(
        Evidence.Kind.SMOKE,
        passed=findings.passed(found),
        summary=findings.summary(found),
        report={"findings": [each.as_json() for each in found]},
        author=author,
    )


def seat_gate(organization: Organization) -> Finding:
    """One more member than the plan has seats for; all of it is undone."""
    with transaction.atomic():
        found = _at_the_gate(organization)
        transaction.set_rollback(True)
    return found


def _at_the_gate(organization: Organization) -> Finding:
    name, used = "seat-gate", organization.memberships.count()
    LimitAdjustment.objects.create(
        organization=organization,
        meter=members.METER,
        mode=LimitAdjustment.Mode.SET,
        source=LimitAdjustment.Source.OVERRIDE,
        amount=used,
        reason="smoke test",
        starts_at=now_for(organization),
    )
    limits.derive(organization, store.current(organization))
    seats = members.lock_seats(organization)
    if seats.limit is None:
        return skipped(name, "The catalogue counts no seats.")
    noted = _noted(organization)
    admitted = _is_let_in(organization)
    if admitted == seats.enforced:
        done = "let in" if admitted else "refused"
        return failed(name, f"A member without a seat was {done}; the mode says otherwise.")
    if not admitted:
        return ok(name, "A member without a seat is refused.")
    if seats.observed and _noted(organization) == noted:
        return failed(name, "A member without a seat was let in, and nobody wrote it down.")
    return ok(name, "A member without a seat is let in, as this catalogue wants it for now.")


def _is_let_in(organization: Organization) -> bool:
    try:
        with transaction.atomic():
            member_adding.send(Organization, organization=organization)
    except QuotaExceeded:
        return False
    return True


def _noted(organization: Organization) -> int:
    seen = Observation.objects.filter(organization=organization)
    total: int = seen.aggregate(calls=Sum("calls", default=0))["calls"]
    return total
