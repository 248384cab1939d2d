"""Looks at the machine for heartbeats, which wait only a moment for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from anchor.core.node import Metrics

LOOK_SECONDS = 1.0
"""How long a heartbeat waits for fresh figures of the machine before it goes with the last ones."""


class Gauge:
    """The figures of the machine as they were last seen."""

    def __init__(self, metrics: Callable[[], Metrics]) -> None:
        self._metrics = metrics
        # Its own thread: those that tasks' files keep busy must not hold up a heartbeat.
        self._thread = ThreadPoolExecutor(1, "metrics")
        self._looking: asyncio.Future[Metrics] | None = None
        self.seen = Metrics()

    async def look(self) -> None:
        """Look at the machine, unless an earlier look still hangs: on a disk that does not answer, for one."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().run_in_executor(self._thread, self._metrics)
        await asyncio.wait([self._looking], timeout=LOOK_SECONDS)
        if self._looking.done():
            self.seen = self._looking.result()

    def close(self) -> None:
        """Look no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
