"""The door for Granian: `granian --interface rsgi config.rsgi:application`.

Other servers take `config.wsgi:application`: the same answers, at the price of a thread per caller.
"""

import asyncio
import gc
import sys

from config.wsgi import application as in_threads  # first: it loads the apps

# isort: split
from django.conf import settings

from config.problems import problem
from config.threads import Threads
from quotas.engine import lane
from quotas.hot_loop import HotLoop
from quotas.rsgi import Exchanged, Scope

# A thread that becomes ready waits at most this long for one that computes.
_TURN_SECONDS = 0.001


class Application:
    """What Granian calls: per process `__rsgi_init__` first, `__rsgi_del__` last."""

    def __init__(self) -> None:
        self._threads = Threads(in_threads, settings.WEB_THREADS)
        self._loop = HotLoop(self._threads.serve, problem)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        sys.setswitchinterval(_TURN_SECONDS)
        gc.collect()
        gc.freeze()  # what was loaded stays: no collection needs to walk it again
        self._loop.start(loop)

    async def __rsgi__(self, scope: Scope, protocol: Exchanged) -> None:
        await self._loop.serve(scope, protocol)

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        self._threads.stop()
        lane.stop_all()


application = Application()
