"""Forgetting: finished tasks leave with everything that belongs to them, a bounded number at a time."""

from functools import partial
from typing import Final

from pymongo import DeleteMany

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.logs import before_task
from anchor.adapters.mongo.schema import MARKS
from anchor.adapters.mongo.trouble import in_our_words
from anchor.adapters.mongo.usage import Usages
from anchor.adapters.mongo.writes import persist
from anchor.core.ids import keys_from
from anchor.failpoints import reached

_FEW: Final = 20
"""Claims of up to so many tasks are looked at together."""
_ROWS_MAX: Final = 20_000
"""Tasks that one call looks at, at most."""
_IN_STEPS: Final = 500
"""Tasks whose output is removed in one round trip."""


class Retention(Usages):
    """The part of the store that forgets."""

    _claims_looked_up_to: int = -1
    _tasks_looked_up_to: int = -1

    async def remove_finished(self, before_ms: int, limit: int) -> int:
        """Remove up to `limit` tasks that ended before `before_ms`, with payload, output and old claims.

        What is part of a run or task that is not over stays. Says how many went, oldest ending first.
        """
        with self.writing():
            with in_our_words():
                linked = await self.link_usage()
                found = await self._finished(before_ms, limit)
                found = await self.count_apart(found, linked) if found else []
            removed = await self._remove(found) if found else 0
            await self._remove_claims(before_ms, limit)
            return removed

    async def _finished(self, before_ms: int, limit: int) -> list[int]:
        """Up to `limit` tasks that may go, of a bounded number looked at; the next call goes on behind them."""
        query = {"state": {"$gt": 4}, "finished_at": {"$gte": self._tasks_looked_up_to, "$lt": before_ms}}
        fields = {"_id": 1, "finished_at": 1, "part_of": 1}
        cursor = self.database["tasks"].find(query, fields).sort("finished_at", 1).limit(_ROWS_MAX)
        found: list[int] = []
        looked = last = 0
        while len(found) < limit and (docs := await cursor.to_list(limit)):
            living = await self._living({int(doc["part_of"]) for doc in docs if "part_of" in doc})
            found += [int(doc["_id"]) for doc in docs if doc.get("part_of") not in living]
            looked += len(docs)
            last = int(docs[-1]["finished_at"])
        await cursor.close()
        # Only a stretch full of tasks that stay moves the place: what goes now is not met again.
        self._tasks_looked_up_to = last + (not found) if looked == _ROWS_MAX else -1
        return found[:limit]

    async def _living(self, wholes: set[int]) -> set[int]:
        """Those runs and tasks that are not over."""
        if not wholes:
            return set()
        among = {"$in": list(wholes)}
        runs = self.database["runs"].find({"_id": among, "over": False}, {"_id": 1})
        heads = self.database["tasks"].find({"_id": among, "state": {"$lt": 5}}, {"_id": 1})
        return {int(doc["_id"]) async for doc in runs} | {int(doc["_id"]) async for doc in heads}

    async def _remove(self, tasks: list[int]) -> int:
        """Output first, the task last: after a crash in between, the next call finds the task and goes on."""
        await self._mark("removals", {"$inc": {"value": 1}, "$set": {"open": True}})
        reached("mongo.removal_begun")
        # The keys handed out must go on rising even if nothing remembers the newest one.
        await self.keep_last_key(max(tasks))
        for first in range(0, len(tasks), _IN_STEPS):
            logs = [
                DeleteMany({"_id": {"$gte": before_task(task), "$lt": before_task(task + 1)}})
                for task in tasks[first : first + _IN_STEPS]
            ]
            await persist(partial(self.database["logs"].bulk_write, logs, ordered=False))
            reached("mongo.output_removed")
        # Terminal tasks change no more, so this cannot take a task that came to life again.
        gone = await persist(lambda: self.database["tasks"].delete_many({"_id": {"$in": tasks}, "state": {"$gt": 4}}))
        reached("mongo.tasks_removed")
        await self._mark("removals", {"$inc": {"value": 1}, "$set": {"open": False}})
        return gone.deleted_count

    async def _mark(self, name: str, how: Document) -> None:
        await persist(lambda: self.database[MARKS].update_one({"_id": name}, how, upsert=True))

    async def _remove_claims(self, before_ms: int, limit: int) -> None:
        """A claim goes once it is old and none of its tasks is left: a repeat of its request is then a new request.

        Looks at `limit` claims, going on where the last call stopped and starting over at the end.
        """
        claims = self.database["claims"]
        with in_our_words():
            query = {"at": {"$gte": self._claims_looked_up_to, "$lt": before_ms}}
            old = await claims.find(query, {"first": 1, "last": 1, "count": 1, "at": 1}).sort("at", 1).to_list(limit)
            left = await self._first_tasks_left(old)
        gone = [claim["_id"] for claim in old if claim["first"] not in left]
        self._claims_looked_up_to = int(old[-1]["at"]) + (not gone) if len(old) == limit else -1
        if gone:
            await persist(lambda: claims.delete_many({"_id": {"$in": gone}}))

    async def _first_tasks_left(self, claims: list[Document]) -> set[int]:
        """The `first` of those claims that still have a task."""
        tasks = self.database["tasks"]
        few = {
            task: claim["first"]
            for claim in claims
            if claim["count"] <= _FEW
            for task in keys_from(int(claim["first"]), max(int(claim["count"]), 1))
        }
        left = {int(few[doc["_id"]]) async for doc in tasks.find({"_id": {"$in": list(few)}}, {"_id": 1})}
        for claim in claims:
            if claim["count"] > _FEW:
                among = {"_id": {"$gte": claim["first"], "$lte": claim["last"]}}
                if await tasks.find_one(among, {"_id": 1}) is not None:
                    left.add(int(claim["first"]))
        return left
