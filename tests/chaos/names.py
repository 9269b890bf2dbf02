"""Runs share a database, so that factories must not begin with the same names again."""

import time

from tests.factories.orgs import OrganizationFactory, UserFactory


def start_anew() -> None:
    number = time.time_ns() // 1_000_000
    UserFactory.reset_sequence(number)
    OrganizationFactory.reset_sequence(number)
