"""Imports every family, so that its endpoints are registered."""

from tests.stripe_simulator.resources import (
    account,
    catalog,
    checkout,
    credit_notes,
    customers,
    discounts,
    disputes,
    events,
    invoices,
    meters,
    payments,
    portal,
    schedules,
    subscriptions,
    test_clocks,
)

FAMILIES = (
    account,
    catalog,
    checkout,
    credit_notes,
    customers,
    discounts,
    disputes,
    events,
    invoices,
    meters,
    payments,
    portal,
    schedules,
    subscriptions,
    test_clocks,
)
