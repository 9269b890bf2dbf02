"""Pages show the plan and members take seats, so a catalogue is on sale in every test here."""

import pytest

from billing import catalog
from billing.catalog.apply import apply
from orgs import messages


@pytest.fixture(autouse=True)
def on_sale(db):
    apply(catalog.current(), None, {})


@pytest.fixture(autouse=True)
def direct_mail():
    """Mails of orgs leave with the commit here; billing's outbox has its own tests."""
    former = messages.bind_post_office(None)
    yield
    messages.bind_post_office(former)
