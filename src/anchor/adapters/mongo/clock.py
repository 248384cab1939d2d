"""The store's time on this machine, so that all servers compare deadlines on one clock."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from pymongo.errors import PyMongoError

from anchor.adapters.mongo.connection import Database

SYNC_SECONDS: Final = 30.0
SLEW: Final = 0.05
"""How much faster or slower than real time this clock may run to meet the store's."""


async def store_time(database: Database) -> datetime:
    """What the primary's clock says."""
    answer = await database.client.admin.command("hello")
    # A command's answer is decoded without time zones, whatever the client was told.
    moment: datetime = answer["localTime"].replace(tzinfo=UTC)
    return moment


class MongoClock:
    """The machine's monotonic clock, set by the store's time and led back to it gently.

    It never runs backwards and, once it was set, never jumps: a difference is made good at `SLEW` of real time.
    """

    def __init__(self, *, monotonic_ms: Callable[[], float] = lambda: time.monotonic_ns() / 1e6) -> None:
        self._monotonic_ms = monotonic_ms
        self._set_at = 0.0
        self._start = 0.0
        self._owed = 0.0
        self._is_set = False

    def now(self) -> int:
        """Unix milliseconds; never runs backwards."""
        return int(self._at(self._monotonic_ms()))

    def moment(self) -> datetime:
        """The same as a date."""
        return datetime.fromtimestamp(self.now() / 1000, UTC)

    def learn(self, store_ms: float, *, at: float) -> None:
        """The store's time was `store_ms` when this machine's monotonic clock said `at` (both in milliseconds)."""
        reading = self._monotonic_ms()
        truth = store_ms + reading - at
        self._start = self._at(reading) if self._is_set else truth
        self._owed = truth - self._start
        self._set_at = reading
        self._is_set = True

    async def ask(self, database: Database) -> None:
        """Learn the store's time: what it said is taken for the middle of the round trip."""
        before = self._monotonic_ms()
        moment = await store_time(database)
        after = self._monotonic_ms()
        self.learn(moment.timestamp() * 1000, at=(before + after) / 2)

    async def follow(self, database: Database) -> None:
        """Ask again every `SYNC_SECONDS`; while the store does not answer, go on by this machine's clock."""
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            try:
                await self.ask(database)
            except PyMongoError:
                continue

    def _at(self, reading: float) -> float:
        passed = reading - self._set_at
        most = passed * SLEW
        return self._start + passed + min(max(self._owed, -most), most)
