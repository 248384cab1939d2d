"""The oldest queued task, without an index that every write would pay for: what lies below it is remembered."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from anchor.adapters.sqlite.reads import Reads
from anchor.adapters.sqlite.rows import CODES, IDS, as_ids
from anchor.core.task import State

RETURNED_MAX = 1_000
OWNERS_MAX = 1_000
T = TypeVar("T")
_FAR = 1 << 63
_QUEUED = CODES[State.QUEUED]


class _Found(NamedTuple):
    oldest: int | None
    floor: int
    still: set[int]


class OldestQueued:
    """For everybody (None) and for each owner asked about a floor: no task below it is queued but those `returned`.

    The first look after a start walks over everything that is done; each later one goes on where the last one ended.
    Use it from the event loop of its store.
    """

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._floors: dict[str | None, int] = {}
        self._returned: set[int] = set()
        self._noted: set[int] = set()
        self._one_at_a_time = asyncio.Lock()
        self.ceiling = 0
        """Below this, whoever queues a task has to `note` it."""

    def note(self, task: int) -> None:
        """A task below the ceiling was queued; called after the COMMIT, before anybody is answered."""
        self._returned.add(task)
        self._noted.add(task)
        if self.ceiling != _FAR:
            self._keep_small()

    def floor(self) -> tuple[int, list[int]]:
        """Where to look for queued tasks from, and which ones below it to look at besides."""
        floor = self._floors.get(None, 0)
        return floor, sorted(task for task in self._returned if task < floor)

    async def find(self, owner: str | None) -> int | None:
        """The lowest id of a queued task, of this owner if one is given; None where there is none."""
        return await self.look(owner, lambda _, oldest: oldest)

    async def look(self, owner: str | None, query: Callable[[sqlite3.Connection, int | None], T]) -> T:
        """What `query` returns when given what `find` would find, in the same read transaction."""
        async with self._one_at_a_time:
            floor = max(self._floors.get(owner, 0), self._floors.get(None, 0))
            returned = [task for task in self._returned if task < floor]
            self._noted.clear()
            self.ceiling = _FAR  # what is queued while the query runs may lie below the floor that it finds
            try:
                found, answer = await self._reads.run(lambda db: _find_and(query, db, owner, floor, returned))
                self._floors[owner] = found.floor
                self._returned -= set(returned) - found.still - self._noted
            finally:
                self.ceiling = max(self._floors.values(), default=0)
                self._returned = {task for task in self._returned if task < self.ceiling}
                self._keep_small()
            return answer

    def _keep_small(self) -> None:
        if len(self._returned) > RETURNED_MAX:
            lowest = min(self._returned)
            self._floors = {owner: min(floor, lowest) for owner, floor in self._floors.items()}
        if len(self._floors) > OWNERS_MAX:
            self._floors.clear()
        self.ceiling = max(self._floors.values(), default=0)
        if len(self._returned) > RETURNED_MAX:
            self._returned.clear()


def _find_and(
    query: Callable[[sqlite3.Connection, int | None], T],
    db: sqlite3.Connection,
    owner: str | None,
    floor: int,
    returned: Sequence[int],
) -> tuple[_Found, T]:
    found = _find(db, owner, floor, returned)
    return found, query(db, found.oldest)


def _find(db: sqlite3.Connection, owner: str | None, floor: int, returned: Sequence[int]) -> _Found:
    still = db.execute(
        f"SELECT id, owner FROM tasks WHERE id IN ({IDS}) AND state = ?", (as_ids(returned), _QUEUED)
    ).fetchall()
    ids = {task for task, _ in still}
    (count,) = db.execute(
        "SELECT coalesce(sum(n), 0) FROM counts WHERE state = ?1 AND (?2 IS NULL OR owner = ?2)", (_QUEUED, owner)
    ).fetchone()
    if count == 0:
        return _Found(None, floor, ids)
    mine = [task for task, whose in still if owner is None or whose == owner]
    if mine:
        return _Found(min(mine), floor, ids)
    (oldest, newest) = db.execute(
        "SELECT (SELECT id FROM tasks NOT INDEXED WHERE id >= ?1 AND state = ?2 AND (?3 IS NULL OR owner = ?3)"
        " ORDER BY id LIMIT 1), (SELECT max(id) FROM tasks)",
        (floor, _QUEUED, owner),
    ).fetchone()
    return _Found(oldest, newest + 1 if oldest is None else oldest, ids)
