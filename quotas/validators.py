"""Quotas as validators of form fields."""

from typing import Any

from django.core.exceptions import ValidationError

from orgs.models import Organization
from quotas.engine import enforcement
from quotas.engine.decisions import refusal


class WithinQuota:
    """Refuses a number, or a file by its size, that would pass the limit. It advises the person;
    counting it is the view's part, by `consume`."""

    def __init__(self, organization: Organization, meter: str) -> None:
        self.organization = organization
        self.meter = meter

    def __call__(self, value: Any) -> None:
        amount = value if isinstance(value, int) else int(value.size)
        if amount < 1:
            return
        decision = enforcement.check(self.organization, self.meter, amount)
        if not decision.allowed:
            raise ValidationError(str(refusal(decision)), code="quota_exceeded")
