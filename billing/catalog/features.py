"""Which features a plan grants, and which it only announces."""

from billing.catalog.schema import Catalog, FeatureState


def states(catalog: Catalog, plan: str) -> dict[str, FeatureState]:
    """Every feature the plan names or includes, with what may be said of it."""
    return {key: catalog.features[key].state for key in catalog.plan_features(plan)}


def granted(catalog: Catalog, plan: str) -> frozenset[str]:
    """A planned feature ("coming soon") is never granted, whoever pays for the plan."""
    return _with_state(states(catalog, plan), "available")


def announced(catalog: Catalog, plan: str) -> frozenset[str]:
    return _with_state(states(catalog, plan), "planned")


def granted_in_beta(catalog: Catalog) -> frozenset[str]:
    """Document 000: in beta mode every feature is on regardless of tier; planned ones exist for
    nobody yet."""
    return frozenset(key for key, entry in catalog.features.items() if entry.state == "available")


def plans_with(catalog: Catalog, feature: str) -> tuple[str, ...]:
    """Cheapest first: where a refusal points the reader."""
    return tuple(plan for plan in catalog.plans if feature in granted(catalog, plan))


def _with_state(found: dict[str, FeatureState], state: FeatureState) -> frozenset[str]:
    return frozenset(key for key, value in found.items() if value == state)
