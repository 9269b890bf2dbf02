"""The same webhooks by Stripe's own command line and a test account, where both exist.

LEDGERLINE_STRIPE_TEST_KEY=sk_test_… pytest tests/journeys/test_stripe_itself.py

The simulator's part in it always runs: `test_every_event_is_acknowledged_and_settles`.
"""

import os
import shutil
import subprocess

import pytest
import stripe

from billing.models import InboxEvent
from tests import processes
from tests.stripe_simulator import compare
from tests.stripe_simulator.contract.annotations import API_VERSION

KEY = os.environ.get("LEDGERLINE_STRIPE_TEST_KEY", "")
CLI = shutil.which("stripe") or ""
SENT = ("customer.created", "payment_intent.succeeded", "customer.subscription.created")
SECONDS = 60

with_an_account = pytest.mark.skipif(
    not KEY.startswith("sk_test_"),
    reason="LEDGERLINE_STRIPE_TEST_KEY names no test account of Stripe",
)
with_the_command_line = pytest.mark.skipif(not CLI, reason="Stripe's command line is not installed")


@with_an_account
@with_the_command_line
def test_what_stripe_sends_is_verified_and_stored_once(request):
    """`stripe listen` forwards what `stripe trigger` causes; its secret is its own."""
    told = [CLI, "listen", "--print-secret", "--api-key", KEY]
    secret = subprocess.run(told, capture_output=True, text=True, check=True).stdout.strip()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIPE_WEBHOOK_SECRET", secret)
        installation = request.getfixturevalue("installation")
    address = f"{installation.address}/webhooks/stripe"

    with processes.running(CLI, "listen", "--forward-to", address, STRIPE_API_KEY=KEY):
        for kind in SENT:
            subprocess.run(
                [CLI, "trigger", kind], env=processes.environment(STRIPE_API_KEY=KEY), check=True
            )
        processes.wait_until(_all_came, seconds=SECONDS)

    rows = list(InboxEvent.objects.values_list("event_id", flat=True))
    assert len(rows) == len(set(rows))


def _all_came():
    return set(InboxEvent.objects.values_list("type", flat=True)) >= set(SENT)


@with_an_account
def test_the_simulator_answers_as_stripe_does():
    """`python -m tests.stripe_simulator.compare` prints the same differences."""
    account = stripe.StripeClient(KEY, stripe_version=API_VERSION)

    assert list(compare.against(account)) == []
