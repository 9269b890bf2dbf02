"""What the demo says when it is ready: on the screen, and in demo.json for scripts."""

import json
import os
import time
from typing import Any

from config.demo import sample_data
from config.demo.environment import STARTED, DemoEnvironment
from config.demo.progress import Progress
from config.embedded.places import write_private


def write(demo: DemoEnvironment) -> None:
    """The keys are a contract with scripts: DESIGN, Running it."""
    write_private(demo.summary, json.dumps(_contents(demo), indent=2) + "\n")


def show(demo: DemoEnvironment, progress: Progress) -> None:
    print_line = progress.console.print
    print_line()
    print_line(f"[bold]Ready in {time.monotonic() - STARTED:.1f} s[/]: {demo.base_url}")
    if demo.simulator_url:
        print_line(f"Stripe simulator: {demo.simulator_url}")
    else:
        print_line("Stripe itself is used (test mode). Deliver its events with")
        print_line(f"  stripe listen --forward-to {demo.webhook_url}")
        if not os.environ.get("STRIPE_WEBHOOK_SECRET"):
            print_line("and start again with STRIPE_WEBHOOK_SECRET set to the secret it prints.")
    print_line()
    for login in sample_data.logins(demo):
        who = f"{login['role']} of {login['organization']}" if login["organization"] else "staff"
        print_line(f"  {login['email']:<30} {login['password']:<18} {who}", markup=False)
    print_line()
    print_line(f"For scripts: {demo.summary}", soft_wrap=True)
    print_line("Ctrl-C stops everything; `make reset` drops the data.")


def _contents(demo: DemoEnvironment) -> dict[str, Any]:
    return {
        "base_url": demo.base_url,
        "simulator_url": demo.simulator_url,
        "webhook_url": demo.webhook_url,
        "webhook_secret": os.environ.get("STRIPE_WEBHOOK_SECRET", ""),
        "stripe_api_key": os.environ["STRIPE_SECRET_KEY"],
        "service_token": sample_data.service_token(demo),
        "organizations": sample_data.organizations_of_logins(demo),
        "logins": sample_data.logins(demo),
    }
