"""What is sold, and where Stripe's events go: both must exist before the first sale."""

import json
import os
import urllib.parse
import urllib.request
from typing import Any

from django.core.management import call_command

from config.demo.environment import DemoEnvironment
from config.demo.servers import NO_PROXY


def apply() -> None:
    """Puts the file's plans and prices into the database and into Stripe (or the simulator)."""
    call_command("catalog", "apply", verbosity=0)


def register_webhook(demo: DemoEnvironment) -> None:
    """One endpoint, at this demo's address; its secret reaches the children by environment."""
    endpoints = _stripe(demo, "GET", "webhook_endpoints?limit=100")["data"]
    if any(endpoint["url"] == demo.webhook_url for endpoint in endpoints):
        return
    for endpoint in endpoints:
        _stripe(demo, "DELETE", f"webhook_endpoints/{endpoint['id']}")
    wanted = {"url": demo.webhook_url, "enabled_events[]": "*"}
    secret = str(_stripe(demo, "POST", "webhook_endpoints", wanted)["secret"])
    demo.remember(webhook_secret=secret)
    os.environ["STRIPE_WEBHOOK_SECRET"] = secret


def _stripe(
    demo: DemoEnvironment, method: str, path: str, fields: dict[str, str] | None = None
) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310  our own simulator's address
        f"{demo.simulator_url}/v1/{path}",
        method=method,
        data=urllib.parse.urlencode(fields).encode() if fields else None,
        headers={"Authorization": f"Bearer {os.environ['STRIPE_SECRET_KEY']}"},
    )
    with NO_PROXY.open(request, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
    return answer
