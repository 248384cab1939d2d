"""How many tasks there are, counted without transactions and without counting everything each time.

No counter beside the tasks could be exact without a transaction, so they are counted where they are. A terminal task
never changes again: those that ended (by the store's own clock, field `ended`) more than `SETTLED_SECONDS` ago are
counted once and remembered, and each call counts, in one query over two indexes, the live tasks and the newest endings.

Retention is what takes remembered tasks away, by whichever server: the mark `removals` is raised before and after, and
a tally that sees it changed, or a removal under way, starts over. So does one that is `RECOUNT_SECONDS` old, which
bounds what a database whose clock was set back could do.
"""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pymongo.read_concern import ReadConcern

from anchor.adapters.mongo.clock import store_time
from anchor.adapters.mongo.connection import Database, Document
from anchor.adapters.mongo.documents import STATES
from anchor.adapters.mongo.schema import MARKS
from anchor.core.task import State
from anchor.ports.store import PULSE_MINUTES

SETTLED_SECONDS: Final = 120.0
"""No ending can still be on its way to the database after this."""
STEP_SECONDS: Final = 10.0
"""How often what has settled meanwhile is remembered."""
RECOUNT_SECONDS: Final = 600.0
MINUTE_MS: Final = 60_000
_MINUTES_KEPT: Final = 24 * 60
_TRIES: Final = 5
_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)

Found = Counter[tuple[str, State, int | None]]
"""Tasks by owner, state and the minute they finished in (None for live ones)."""
Query = tuple[Document, Document]
"""Which tasks, and by what they are counted."""


class Tally:
    """What was counted once and is true for good, and how to count the rest."""

    def __init__(self, database: Database, *, has_snapshots: bool) -> None:
        self._database = database
        level = "snapshot" if has_snapshots else "majority"
        self._tasks = database["tasks"].with_options(read_concern=ReadConcern(level))
        self._lock = asyncio.Lock()
        self._mark: Document | None = None
        self._begun = self._stepped = float("-inf")
        self._until = _LONG_AGO
        self._settled: Counter[tuple[str, State]] = Counter()
        self._minutes: Found = Counter()

    async def counts(self, owner: str | None) -> dict[State, int]:
        """How many tasks are in each state, copies aside."""
        async with self._lock:
            fresh = await self._count()
            found = dict.fromkeys(State, 0)
            for (of, state, _), n in fresh.items():
                if owner in (None, of):
                    found[state] += n
            for (of, state), n in self._settled.items():
                if owner in (None, of):
                    found[state] += n
            return found

    async def ended(self, owner: str | None, now: int) -> dict[State, int]:
        """How many tasks ended in each state within the last `PULSE_MINUTES` whole minutes before `now` (Unix ms)."""
        found: Counter[State] = Counter()
        this = now // MINUTE_MS
        for (_, state), n in (await self.endings(owner, this - PULSE_MINUTES, this)).items():
            found[state] += n
        return dict(found)

    async def endings(self, owner: str | None, first: int, until: int) -> dict[tuple[int, State], int]:
        """How many tasks ended in each state in each minute from `first` to before `until`."""
        async with self._lock:
            fresh = await self._count()
            found: Counter[tuple[int, State]] = Counter()
            for (of, state, minute), n in (*fresh.items(), *self._minutes.items()):
                if minute is not None and first <= minute < until and owner in (None, of):
                    found[minute, state] += n
            return dict(found)

    async def _count(self) -> Found:
        """Everything that is not remembered, after remembering what can be."""
        for _ in range(_TRIES):
            mark = await self._removals()
            if mark != self._mark or mark.get("open") or time.monotonic() - self._begun > RECOUNT_SECONDS:
                self._forget(mark)
            await self._settle()
            fresh = await self._found(_live(), _ended(self._until))
            if await self._removals() == mark:
                break
        return fresh

    async def _settle(self) -> None:
        if time.monotonic() - self._stepped < STEP_SECONDS:
            return
        self._stepped = time.monotonic()
        until = await store_time(self._database) - timedelta(seconds=SETTLED_SECONDS)
        if until <= self._until:
            return
        found = await self._found(_ended(self._until, until))
        self._until = until
        for (owner, state, minute), n in found.items():
            self._settled[owner, state] += n
            self._minutes[owner, state, minute] += n
        newest = max((minute for _, _, minute in self._minutes if minute is not None), default=0)
        for key in [key for key in self._minutes if (key[2] or 0) < newest - _MINUTES_KEPT]:
            del self._minutes[key]

    async def _found(self, *queries: Query) -> Found:
        """All that these find, less the copies among them: those have an index of their own, so that the others are
        still counted from theirs alone."""
        parts = [
            [{"$match": matched | among}, {"$group": {"_id": by, "n": {"$sum": n}}}]
            for matched, by in queries
            for among, n in (({}, 1), ({"copy": True}, -1))
        ]
        union = [{"$unionWith": {"coll": "tasks", "pipeline": part}} for part in parts[1:]]
        found: Found = Counter()
        async for row in await self._tasks.aggregate([*parts[0], *union]):
            of: dict[str, Any] = row["_id"]
            minute = of.get("minute")
            found[of["owner"], STATES[of["state"]], None if minute is None else int(minute)] += row["n"]
        return found

    async def _removals(self) -> Document:
        return await self._database[MARKS].find_one({"_id": "removals"}) or {}

    def _forget(self, mark: Document) -> None:
        self._mark = mark
        self._begun = time.monotonic()
        self._stepped = float("-inf")
        self._until = _LONG_AGO
        self._settled.clear()
        self._minutes.clear()


def _live() -> Query:
    return {"state": {"$lt": 5}}, {"owner": "$owner", "state": "$state"}


def _ended(since: datetime, until: datetime | None = None) -> Query:
    minute = {"$floor": {"$divide": ["$finished_at", MINUTE_MS]}}
    among: Document = {"ended": {"$gte": since} if until is None else {"$gte": since, "$lt": until}}
    return among | {"state": {"$gt": 4}}, {"owner": "$owner", "state": "$state", "minute": minute}
