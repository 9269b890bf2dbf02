"""The browser of the browser tests: found where present, installed where root allows."""

import os
import shutil
import sys
from pathlib import Path

from tests import debian

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--no-sandbox",  # under root it does not start with one
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ELSEWHERE = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",)


def left_out() -> bool:
    return os.environ.get("BROWSER") == "none"


def find() -> str | None:
    """CHROMIUM names one; else the first on the path."""
    named = os.environ.get("CHROMIUM")
    found = (shutil.which(name) for name in ((named,) if named else NAMES))
    present = (path for path in ELSEWHERE if Path(path).exists())
    return next((path for path in found if path), None) or next(present, None)


def main() -> None:
    if left_out():
        return
    if find() is None:
        debian.install("chromium", "the browser tests")
    if find() is None:
        sys.exit(
            "Chromium is not installed and only root can install it. Install it, name it in "
            "CHROMIUM, or run `make test BROWSER=none`, which says how many tests it leaves out."
        )


if __name__ == "__main__":
    main()
