"""Whether there is space for new work."""

import time
from typing import Final

from pymongo.errors import PyMongoError

from anchor.adapters.mongo.connection import Database
from anchor.adapters.mongo.schema import MARKS
from anchor.adapters.mongo.trouble import explained, is_out_of_space

RESERVE_BYTES: Final = 64 * 1024 * 1024
RESERVE_SHARE: Final = 0.05
LOOK_SECONDS: Final = 5.0


class Room:
    """What is known about the space MongoDB has left. Asked at most every `LOOK_SECONDS`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looked_at = float("-inf")
        self._is_there = True
        self.was_refused = False
        """Whether a write was refused for lack of space and none has succeeded since."""

    async def is_there(self) -> bool:
        """Whether more is free than the reserve (64 MiB or 5 % of the disk, whichever is smaller) and writes succeed.

        Where the server does not tell how full its disk is, only a refused write counts.
        """
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            try:
                self._is_there = await self._is_above_reserve() and await self._can_write()
            except PyMongoError as error:
                raise explained(error) from error
            self._looked_at = time.monotonic()
        return self._is_there

    def refused(self) -> None:
        """A write was refused for lack of space."""
        self.was_refused = True
        self._is_there = False
        self._looked_at = time.monotonic()

    async def _is_above_reserve(self) -> bool:
        stats = await self._database.command("dbStats")
        total, used = stats.get("fsTotalSize"), stats.get("fsUsedSize")
        if total is None or used is None:
            return True
        return bool(total - used > min(RESERVE_BYTES, total * RESERVE_SHARE))

    async def _can_write(self) -> bool:
        if self.was_refused:
            try:
                await self._database[MARKS].update_one({"_id": "room"}, {"$inc": {"value": 1}}, upsert=True)
            except PyMongoError as error:
                if is_out_of_space(error):
                    return False
                raise
            self.was_refused = False
        return True
