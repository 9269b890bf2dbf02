"""`python -m config.reset`: drops what the demo and the tests keep under LEDGERLINE_VAR."""

import os
import shutil
import sys
from pathlib import Path

from config.embedded import BASE_DIR, EmbeddedError, reset

KEPT_BY_THE_DEMO = ("demo.json", "demo", "log", "mail", "simulator")


def main() -> None:
    var = Path(os.environ.get("LEDGERLINE_VAR") or BASE_DIR / "var").resolve()
    try:
        reset(var)
        reset(var / "tests")
    except EmbeddedError as error:
        sys.exit(str(error))
    for name in KEPT_BY_THE_DEMO:
        _delete(var / name)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
