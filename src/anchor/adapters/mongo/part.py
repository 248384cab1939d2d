"""What every part of the store stands on."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from anchor.adapters.mongo.clock import MongoClock
from anchor.adapters.mongo.connection import Client, Database
from anchor.adapters.mongo.schema import MARKS
from anchor.adapters.mongo.trouble import closed
from anchor.adapters.mongo.writes import persist
from anchor.failpoints import reached


class Part:
    """The client, the database, and the writes that a close has to wait for."""

    def __init__(self, client: Client, database: Database, clock: MongoClock) -> None:
        self.client = client
        self.database = database
        self.clock = clock
        self._closed = False
        self._writing = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around a write: Unavailable once the store is closed; a close waits for its end."""
        if self._closed:
            raise closed()
        self._writing += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._writing -= 1
            if self._writing == 0:
                self._idle.set()

    async def keep_last_key(self, key: int) -> None:
        """The keys handed out go on rising above this one, even if no document remembers it."""
        marks = self.database[MARKS]
        await persist(lambda: marks.update_one({"_id": "last_key"}, {"$max": {"value": key}}, upsert=True))
        reached("mongo.last_key_kept")

    async def _end_writing(self) -> None:
        self._closed = True
        await self._idle.wait()
