"""Plans given without Stripe: given and revoked with a reason, audited, effective at once."""

from django.db import transaction
from django.utils import timezone

from billing.entitlement import contracts, store
from billing.models import EffectivePlan, Grant
from orgs import audit
from orgs.models import User


@transaction.atomic
def give(grant: Grant, *, actor: User | audit.Actor) -> EffectivePlan:
    """Saves a new grant and re-derives; the author is who gives it. Raises Unprocessable."""
    contracts.check(grant)
    grant.author = actor if isinstance(actor, User) else None
    grant.save()
    audit.record(
        "billing.grant_given",
        organization=grant.organization,
        actor=actor,
        target=grant.plan_key,
        after={
            "source": grant.source,
            "plan": grant.plan_key,
            "reason": grant.reason,
            "seats": grant.seats,
            "limits": grant.limits,
            "terms": contracts.terms_of(grant).as_json(),
            "starts_at": grant.starts_at.isoformat(),
            "ends_at": grant.ends_at.isoformat() if grant.ends_at else None,
        },
    )
    return store.rederive(grant.organization, cause=f"grant {grant.pk} given")


@transaction.atomic
def revoke(grant: Grant, *, actor: User | audit.Actor) -> EffectivePlan:
    """Ends a grant now; a second revocation changes nothing."""
    changed = Grant.objects.filter(pk=grant.pk, revoked_at=None).update(revoked_at=timezone.now())
    if changed:
        audit.record(
            "billing.grant_revoked",
            organization=grant.organization,
            actor=actor,
            target=grant.plan_key,
            before={"source": grant.source, "plan": grant.plan_key},
        )
    return store.rederive(grant.organization, cause=f"grant {grant.pk} revoked")
