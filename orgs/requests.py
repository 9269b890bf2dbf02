"""The request of a page inside an organization, as type checkers see it."""

from typing import TYPE_CHECKING

from django.http import HttpRequest

from orgs.models import Membership, Organization, User

if TYPE_CHECKING:
    from django_htmx.middleware import HtmxDetails


class PersonRequest(HttpRequest):
    """Of someone who is logged in."""

    user: User
    htmx: "HtmxDetails"


class OrgRequest(PersonRequest):
    """Of a member: the middleware has found the organization that the URL names."""

    organization: Organization
    membership: Membership
    capabilities: frozenset[str]
