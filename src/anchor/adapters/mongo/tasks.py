"""Tasks: inserts and compare-and-sets in as few round trips as possible."""

from collections.abc import Sequence
from typing import Final

from anchor.adapters.mongo.clock import MongoClock
from anchor.adapters.mongo.connection import Client, Database
from anchor.adapters.mongo.documents import CODES, READ, STATES, changed_task, last_key_of, new_task, task_from
from anchor.adapters.mongo.gather import Gather
from anchor.adapters.mongo.pages import counted, page_of
from anchor.adapters.mongo.part import Part
from anchor.adapters.mongo.room import Room
from anchor.adapters.mongo.tally import Tally
from anchor.adapters.mongo.trouble import in_our_words, out_of_space
from anchor.adapters.mongo.writes import Change, New, insert, swap
from anchor.core.errors import OutOfSpace
from anchor.core.ids import born_ms, keys_from
from anchor.core.task import TERMINAL, State, Task
from anchor.core.task_query import TaskQuery
from anchor.failpoints import reached
from anchor.ports.store import Counted, Page, Pulse, QueuedRef, Swap

_STATES_IN_ONE: Final = 10_000
"""Tasks whose states are asked for in one round trip."""


class Tasks(Part):
    """The task part of the store."""

    def __init__(self, client: Client, database: Database, clock: MongoClock, *, has_snapshots: bool) -> None:
        super().__init__(client, database, clock)
        self._tasks = database["tasks"]
        self._room = Room(database)
        self._tally = Tally(database, has_snapshots=has_snapshots)
        self._inserts = Gather(self._insert)
        self._swaps = Gather(self._swap)

    async def insert(self, tasks: Sequence[Task]) -> list[bool]:
        """Write new tasks; False for one whose id exists already (it is left as it is).

        OutOfSpace from the first full disk until there is room again: what space is left belongs to what runs.
        """
        if not tasks:
            return []
        with self.writing():
            if self._room.was_refused and not await self.has_room():
                raise out_of_space()
            if parts := [task.parts for task in tasks if task.parts is not None]:
                # Before the task is there, so that nobody is given the keys of its items or copies.
                await self.keep_last_key(max(map(last_key_of, parts)))
            now = self.clock.moment()
            return await self._inserts.submit([new_task(task, now=now) for task in tasks])

    async def swap(self, swaps: Sequence[Swap]) -> list[bool]:
        """Compare-and-set each task on its version; False where somebody else was faster."""
        if not swaps:
            return []
        with self.writing():
            return await self._swaps.submit([changed_task(swap) for swap in swaps])

    async def get(self, ids: Sequence[int]) -> list[Task | None]:
        """The tasks as they are now, in the order asked, without `spec.payload`."""
        if not ids:
            return []
        with in_our_words():
            cursor = self._tasks.find({"_id": {"$in": list(set(ids))}}, READ)
            read = {doc["_id"]: task_from(doc) async for doc in cursor}
        return [read.get(task) for task in ids]

    async def payloads(self, ids: Sequence[int]) -> list[bytes]:
        """The payloads as JSON bytes, in the order asked; empty where there is none or it rests in a blob."""
        if not ids:
            return []
        with in_our_words():
            cursor = self._tasks.find({"_id": {"$in": list(set(ids))}}, {"payload": 1})
            read = {doc["_id"]: doc.get("payload", b"") async for doc in cursor}
        return [read.get(task, b"") for task in ids]

    async def due(self, state: State, now: int, limit: int) -> list[Task]:
        """Tasks of a non-terminal state whose `wake_at` has come, longest waiting first."""
        if state in TERMINAL:
            return []
        with in_our_words():
            # Not `$lte`: the MongoDB wire emulator then misses equal ones where an index goes on after the field.
            query = {"state": CODES[state], "wake_at": {"$lt": now + 1}}
            cursor = self._tasks.find(query, READ).sort("wake_at", 1).limit(limit)
            return [task_from(doc) async for doc in cursor]

    async def queued(self, after: int, limit: int) -> list[QueuedRef]:
        """Queued tasks with an id above `after`, oldest first: what the ready queue is refilled from."""
        with in_our_words():
            query = {"state": CODES[State.QUEUED], "_id": {"$gt": after}}
            cursor = self._tasks.find(query, {"priority": 1, "shape": 1, "owner": 1}).sort("_id", 1).limit(limit)
            return [
                QueuedRef(int(doc["_id"]), int(doc["priority"]), doc["shape"], doc["owner"]) async for doc in cursor
            ]

    async def page(self, query: TaskQuery, *, below: int | None, limit: int, skip: int = 0) -> Page:
        """Tasks that fit by falling id below `below`, without the first `skip` and without the copies that verification
        makes. One call looks at a bounded number of documents, whatever it finds."""
        with in_our_words():
            return await page_of(self._tasks, query, below=below, limit=limit, skip=skip)

    async def count(self, query: TaskQuery, *, below: int | None, above: int | None) -> Counted:
        """How many tasks between `above` and `below` fit, copies aside: of a bounded number, newest first."""
        with in_our_words():
            return await counted(self._tasks, query, below=below, above=above)

    async def states(self, first: int, count: int) -> dict[int, State]:
        """The states of those of the tasks first, first + STEP, … (`count` of them) that exist, by id."""
        keys = keys_from(first, count)
        found: dict[int, State] = {}
        with in_our_words():
            for at in range(0, count, _STATES_IN_ONE):
                among = {"_id": {"$in": list(keys[at : at + _STATES_IN_ONE])}}
                async for doc in self._tasks.find(among, {"state": 1}):
                    found[int(doc["_id"])] = STATES[doc["state"]]
        return found

    async def counts(self, owner: str | None) -> dict[State, int]:
        """How many tasks are in each state, copies aside; exact. What ended long ago is counted once: see `tally`."""
        with in_our_words():
            return await self._tally.counts(owner)

    async def pulse(self, owner: str | None, now: int) -> Pulse:
        """How the queue moves, from the same tally."""
        with in_our_words():
            queued = await self._oldest(State.QUEUED, owner)
            leased = await self._oldest(State.LEASED, owner)
            return Pulse(queued, leased, await self._tally.ended(owner, now))

    async def endings(self, owner: str | None, first: int, until: int) -> dict[tuple[int, State], int]:
        """How many tasks ended in each state in each minute, from the same tally: a day back at most."""
        with in_our_words():
            return await self._tally.endings(owner, first, until)

    async def has_room(self) -> bool:
        """Whether new work should be let in: MongoDB takes writes and has more space than the reserve."""
        return await self._room.is_there()

    async def _end_writing(self) -> None:
        await super()._end_writing()
        # What was asked by callers who gave up waiting is written as well.
        await self._inserts.idle()
        await self._swaps.idle()

    async def _oldest(self, state: State, owner: str | None) -> int | None:
        query = {"state": CODES[state]} if owner is None else {"state": CODES[state], "owner": owner}
        found = await self._tasks.find(query, {"_id": 1}).sort("_id", 1).limit(1).to_list()
        return born_ms(int(found[0]["_id"])) if found else None

    async def _insert(self, news: list[New]) -> list[bool]:
        """Of the same id twice the first is written: the second finds it there."""
        first: dict[int, New] = {}
        for one in news:
            first.setdefault(one.id, one)
        try:
            written = await insert(self._tasks, list(first.values()))
        except OutOfSpace:
            self._room.refused()
            raise
        answers = dict(zip(first, written, strict=True))
        return [first[one.id] is one and answers[one.id] for one in news]

    async def _swap(self, changes: list[Change]) -> list[bool]:
        """Of several swaps of a task each sees the ones before it, so they go in rounds: usually there is one."""
        answers = [False] * len(changes)
        left = list(range(len(changes)))
        while left:
            now: dict[int, int] = {}
            later = [at for at in left if now.setdefault(changes[at].id, at) != at]
            done = await swap(self._tasks, [changes[at] for at in now.values()])
            for at, answer in zip(now.values(), done, strict=True):
                answers[at] = answer
            if later:
                reached("mongo.swap_round")
            left = later
        return answers
