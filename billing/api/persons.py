"""Who calls, where only a person can act."""

from rest_framework.request import Request

from billing.exceptions import NoCustomer
from orgs.models import User


def person_of(request: Request) -> User:
    """Raises NoCustomer for whatever is no person."""
    if not isinstance(request.user, User):
        raise NoCustomer("Only people have billing.")
    return request.user
