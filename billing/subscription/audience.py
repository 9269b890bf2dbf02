"""For whom a plan is sold: individuals, organizations, or both (the catalogue's `audience`)."""

from django.utils.translation import gettext as _

from billing import catalog
from billing.exceptions import PlanNotForYou
from orgs import capabilities
from orgs.capabilities import Capability
from orgs.models import Membership, Organization

_INDIVIDUALS = ("personal",)


def check(organization: Organization, plan_key: str) -> None:
    """Raises PlanNotForYou; a plan that the file no longer has is anybody's."""
    entry = catalog.current().plans.get(plan_key)
    if entry is None:
        return
    personal = organization.kind == Organization.Kind.PERSONAL
    giver = plan_giver(organization)
    if giver is not None:
        raise _comes_from(giver)
    if organization.kind in entry.audience:
        return
    words = {"plan": str(entry.name), "organization": organization.name}
    if personal:
        raise PlanNotForYou(
            _("%(plan)s is for organizations. Create one first, then choose it there.") % words,
            field="tier",
            reason="organization_plan",
        )
    raise PlanNotForYou(
        _("%(plan)s is for individuals; %(organization)s is an organization.") % words,
        field="tier",
        reason="individual_plan",
    )


def check_member(membership: Membership, plan_key: object) -> None:
    """A member who asks for an individual plan hears why not, instead of a bare 403."""
    entry = catalog.current().plans.get(plan_key) if isinstance(plan_key, str) else None
    manages = Capability.BILLING_MANAGE in capabilities.of(membership)
    team = membership.organization.kind == Organization.Kind.TEAM
    if entry is not None and team and not manages and entry.audience == _INDIVIDUALS:
        raise _comes_from(membership.organization)


def plan_giver(organization: Organization) -> Organization | None:
    """The team whose plan the owner of a personal organization has, where the catalogue sells
    members none of their own."""
    personal = organization.kind == Organization.Kind.PERSONAL
    if not personal or catalog.current().organizations.members_buy_own_plans:
        return None
    people = organization.memberships.values("user")
    found: Organization | None = (
        Organization.objects.open()
        .filter(kind=Organization.Kind.TEAM, memberships__user__in=people)
        .order_by("memberships__joined_at", "pk")
        .first()
    )
    return found


def _comes_from(organization: Organization) -> PlanNotForYou:
    return PlanNotForYou(
        _("Your plan comes from %(organization)s, so you cannot buy one of your own.")
        % {"organization": organization.name},
        field="tier",
        reason="comes_from_organization",
    )
