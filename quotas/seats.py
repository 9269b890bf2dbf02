"""The members page's answer to "how many seats": bound to orgs when quotas starts."""

from orgs.models import Organization
from orgs.ports import Seats
from quotas.engine import members


class PlanSeats:
    """Members counted against the plan; a limit that is not enforced is no limit to people."""

    def seats(self, organization: Organization) -> Seats:
        read = members.read_seats(organization)
        return Seats(used=read.used, limit=read.limit if read.enforced else None)
