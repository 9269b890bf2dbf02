"""A week in which each sample organization tries everything that somebody pays for.

While its catalogue observes, this is what the observe report has to tell; the same week again after
the switch shows whether the report was right.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from django.db.models import Sum

from billing import catalog
from billing.exceptions import AccountLocked, PaymentRequired
from orgs.models import Organization
from quotas.decorators import require_feature
from quotas.engine import modes
from quotas.exceptions import FeatureUnavailable
from quotas.models import Enforcement, Observation

DAYS: Final = 7


class Place(NamedTuple):
    organization: str
    feature: str


Refused = Counter[Place]


def is_observed(team: Organization) -> bool:
    """Somewhere a refusal would only be written down."""
    return any(modes.of(team, feature) == Enforcement.OBSERVE for feature in _sold())


def week(team: Organization) -> Refused:
    """What is refused of it; nothing while it is observed."""
    refused: Refused = Counter()
    for feature in _acts():
        try:
            require_feature(team, feature)
        except (AccountLocked, FeatureUnavailable, PaymentRequired):
            refused[Place(team.slug, feature)] += 1
    return refused


def written_down(teams: Iterable[Organization]) -> Refused:
    """What observe mode let pass of the paid acts of these organizations, so far."""
    slugs = {team.pk: team.slug for team in teams}
    rows = (
        Observation.objects.filter(organization_id__in=slugs, subject__in=_sold())
        .values_list("organization_id", "subject")
        .annotate(calls=Sum("calls"))
    )
    return Counter({Place(slugs[who], feature): calls for who, feature, calls in rows})


def _sold() -> list[str]:
    """Available, and not in the default plan."""
    sold = catalog.current()
    free = sold.plan_features(sold.default_plan)
    return [
        key
        for key, feature in sold.features.items()
        if feature.state == "available" and key not in free
    ]


def _acts() -> Iterator[str]:
    """The first feature every day, the second every other day, and so on."""
    for day in range(DAYS):
        for number, feature in enumerate(_sold()):
            if day % (number + 1) == 0:
                yield feature
