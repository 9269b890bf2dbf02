"""python -m tests.stripe_simulator --port N [--state DIR] [--webhook-url URL --webhook-secret …]"""

import argparse
import logging
from pathlib import Path

import uvicorn

from tests.stripe_simulator.app import build
from tests.stripe_simulator.simulator import Settings


def main() -> None:
    asked = _arguments().parse_args()
    logging.basicConfig(level=logging.INFO if asked.verbose else logging.WARNING)
    settings = Settings(
        base_url=asked.base_url or f"http://{asked.host}:{asked.port}",
        state=asked.state,
        strict=not asked.no_strict,
    )
    webhooks = [(url, asked.webhook_secret) for url in asked.webhook_url]
    uvicorn.run(
        build(settings, webhooks),
        host=asked.host,
        port=asked.port,
        log_level="info" if asked.verbose else "warning",
        access_log=asked.verbose,
        timeout_graceful_shutdown=2,
    )


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.stripe_simulator", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--base-url", help="the address people reach it by, if another")
    parser.add_argument("--state", type=Path, help="folder of its database; none: in memory")
    parser.add_argument("--webhook-url", action="append", default=[])
    parser.add_argument("--webhook-secret", default="whsec_simulator_0000000000000000000000")
    parser.add_argument("--no-strict", action="store_true", help="skip the contract check")
    parser.add_argument("--verbose", action="store_true")
    return parser


if __name__ == "__main__":
    main()
