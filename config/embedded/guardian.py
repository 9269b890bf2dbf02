"""The process that owns the embedded servers: `python -m config.embedded.guardian VAR`."""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO

from config.embedded.places import Places, binaries_for, home_for, write_private
from config.embedded.postgres import Postgres
from config.embedded.processes import Account
from config.embedded.valkey import Valkey

LOOK_SECONDS = 0.2


class Guardian:
    def __init__(self, places: Places) -> None:
        account = Account.for_servers()
        home = home_for(places, account)
        binaries = binaries_for(home, account)
        self.places = places
        self.postgres = Postgres(places, home, binaries.postgres, account)
        self.valkey = Valkey(places, home, binaries.valkey, account)
        self.told_to_stop = False

    def run(self) -> None:
        """Serves until the last holder is gone, however it went."""
        try:
            self.postgres.start()
            self.valkey.start()
            self._announce()
            with self.places.holders.open("w") as holders:
                while not self.told_to_stop and not _alone(holders):
                    self.postgres.revive()
                    self.valkey.revive()
                    time.sleep(LOOK_SECONDS)
                self._stop()
        finally:
            self._stop()

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.told_to_stop = True

    def _announce(self) -> None:
        state = {
            "guardian": os.getpid(),
            "database_url": self.postgres.url,
            "redis_url": self.valkey.url,
        }
        write_private(self.places.state, json.dumps(state))

    def _stop(self) -> None:
        """Before the holders' lock is given back: whoever waits for it must find no server."""
        self.places.state.unlink(missing_ok=True)
        self.valkey.stop()
        self.postgres.stop()


def _alone(holders: IO[str]) -> bool:
    try:
        fcntl.flock(holders, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main() -> None:
    places = Places.under(Path(sys.argv[1]))
    with places.guard.open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        guardian = Guardian(places)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, guardian.on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        guardian.run()


if __name__ == "__main__":
    main()
