"""Imports every family, so that its endpoints are registered."""

from tests.stripe_simulator.resources import (
    account,
    catalog,
    checkout,
    customers,
    discounts,
    events,
    invoices,
    payments,
    portal,
    subscriptions,
    test_clocks,
)

FAMILIES = (
    account,
    catalog,
    checkout,
    customers,
    discounts,
    events,
    invoices,
    payments,
    portal,
    subscriptions,
    test_clocks,
)
