"""What was used, counted exactly without a transaction over tasks and counters.

A task that is over never changes again. So what the tasks used that ended (by the store's own clock, field `ended`)
within a span of time is written down once, as one *link* of a chain: its `_id` is where the span begins (Unix ms),
`until` where it ends and the next one begins. Retention adds links, up to `SETTLED_SECONDS` ago, and removes no task
that no link has counted. Where tasks are to be removed so soon that no link can reach them, each is written down by
itself before it goes (`task/…` in `usage_apart`), and the link that comes to its span leaves it out. Whoever asks adds
up the links, those, and what ended since the newest link.

What else is added (what apps used, what came from a backup) is summed up in `usage_apart`, too (`sum/…`).
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from anchor.adapters.mongo.clock import store_time
from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.documents import STATES, attempts_from
from anchor.adapters.mongo.part import Part
from anchor.adapters.mongo.trouble import in_our_words
from anchor.adapters.mongo.writes import insert, new, persist
from anchor.core.usage import DAY_MS, By, Sum, Sums, Use, summed
from anchor.failpoints import reached

SETTLED_SECONDS: Final = 120.0
"""No ending can still be on its way to the database after this."""
APART_SECONDS: Final = 20.0
"""Tasks that ended so much later than the newest link are not near any that is being written."""
LINK_SECONDS: Final = 600.0
"""A link is not worth its while for less."""
_TASKS_IN_LINK: Final = 50_000
_IN_STEPS: Final = 500
_APART: Final = "task/"
_TRIES: Final = 5
_FIELDS: Final = {"owner": 1, "state": 1, "attempts": 1, "ended": 1}
_encode = msgspec.json.Encoder().encode
_uses_from = msgspec.json.Decoder(list[Use]).decode


class SoFar:
    """What was used up to some moment: by all tasks that ended (by the store's clock) before `up_to` (Unix ms), and by
    `tasks`, which ended later or were written down by themselves."""

    def __init__(self, up_to: int) -> None:
        self.sums = Sums()
        self.up_to = up_to
        self.tasks: set[int] = set()

    def add(self, docs: Iterable[Document]) -> None:
        """Add those tasks that have ended and are not in it."""
        for doc in docs:
            task, ended = int(doc["_id"]), doc.get("ended")
            if ended is not None and ended >= _date(self.up_to) and task not in self.tasks:
                self.tasks.add(task)
                self.sums.add_task(doc["owner"], STATES[doc["state"]], attempts_from(doc["attempts"]))


class Usages(Part):
    """The usage part of the store."""

    _added_up: Sums | None = None
    _up_to: int = 0

    async def usage(self, by: By, *, since: int, owner: str | None) -> list[Sum]:
        """The sums of an owner (None: of everybody) since a day (since 1970, UTC), by one thing."""
        with in_our_words():
            return summed((await self._all_uses()).sums.uses(), by, since=since, owner=owner)

    async def uses_so_far(self) -> "SoFar":
        """All that was used, and how to tell the tasks that are in it."""
        with in_our_words():
            return await self._all_uses()

    async def add_usage(self, uses: Sequence[Use]) -> None:
        """Add to what was used."""
        with self.writing():
            apart = self.database["usage_apart"]
            for use in uses:
                amounts = {name: getattr(use, name) for name in ("tasks", "failed", "attempts", "cpu_ms", "wall_ms")}
                place = {"day": use.day, "owner": use.owner, "node": use.node, "app": use.app}
                of = "/".join(["sum", str(use.day), use.owner, use.node, use.app])
                await persist(
                    lambda of=of, place=place, amounts=amounts: apart.update_one(  # type: ignore[misc]
                        {"_id": of}, {"$set": place, "$inc": amounts}, upsert=True
                    )
                )
                reached("mongo.usage_added")

    async def forget_usage(self, before: int) -> None:
        """Forget the days before one."""
        with self.writing():
            moment = before * DAY_MS
            newest = await self._newest_until()
            await persist(lambda: self.database["usage"].delete_many({"until": {"$lt": min(moment, newest)}}))
            reached("mongo.usage_links_forgotten")
            await persist(lambda: self.database["usage_apart"].delete_many({"day": {"$lt": before}}))
            reached("mongo.usage_forgotten")
            self._added_up, self._up_to = None, 0

    async def count_restored(self) -> None:
        """What the tasks used that are here already was restored with them: the chain begins now."""
        until = int((await store_time(self.database)).timestamp() * 1000) + 1
        await self._add_link(await self._newest_until(), until, [])

    async def link_usage(self) -> int:
        """Add the link that is due, if any; tasks that ended before the Unix ms that is returned are counted."""
        begin = await self._newest_until()
        latest = await store_time(self.database) - timedelta(seconds=SETTLED_SECONDS)
        until = int(latest.timestamp() * 1000)
        if begin and until - begin < LINK_SECONDS * 1000:
            return begin
        sums = Sums()
        among = {"ended": {"$gte": _date(begin), "$lt": _date(until)}}
        count, last = 0, None
        cursor = self.database["tasks"].find(among, _FIELDS).sort("ended", 1).batch_size(_IN_STEPS)
        while docs := await cursor.to_list(_IN_STEPS):
            if count >= _TASKS_IN_LINK and docs[0]["ended"] != last:
                until = int(docs[0]["ended"].timestamp() * 1000)
                break
            await self._add_tasks(sums, docs)
            count += len(docs)
            last = docs[-1]["ended"]
        await cursor.close()
        await self._add_link(begin, until, sums.uses())
        return await self._newest_until()

    async def count_apart(self, ids: Sequence[int], linked: int) -> list[int]:
        """Those of these tasks that may be removed: counted by a link, or now written down each by itself."""
        cursor = self.database["tasks"].find({"_id": {"$in": list(ids)}, "ended": {"$gte": _date(linked)}}, _FIELDS)
        unlinked = {int(doc["_id"]): doc async for doc in cursor}
        late = await store_time(self.database) - timedelta(seconds=SETTLED_SECONDS - APART_SECONDS)
        apart: list[Document] = []
        for task, doc in unlinked.items():
            if doc["ended"] >= late:
                sums = Sums()
                sums.add_task(doc["owner"], STATES[doc["state"]], attempts_from(doc["attempts"]))
                uses = sums.uses()
                day = max((use.day for use in uses), default=0)
                apart.append({"_id": _apart(task), "day": day, "uses": _encode(uses)})
        for first in range(0, len(apart), _IN_STEPS):
            await insert(self.database["usage_apart"], [new(one) for one in apart[first : first + _IN_STEPS]])
            reached("mongo.usage_apart")
        written = {one["_id"] for one in apart}
        return [task for task in ids if task not in unlinked or _apart(task) in written]

    async def _add_link(self, begin: int, until: int, uses: list[Use]) -> None:
        """Whoever is second finds a link there that says the same, or ends elsewhere: the chain goes on from it."""
        await insert(self.database["usage"], [new({"_id": begin, "until": until, "uses": _encode(uses)})])
        reached("mongo.usage_linked")

    async def _newest_until(self) -> int:
        newest = await self.database["usage"].find({}, {"until": 1}).sort("_id", -1).limit(1).to_list()
        return int(newest[0]["until"]) if newest else 0

    async def _all_uses(self) -> "SoFar":
        for _ in range(_TRIES):
            linked = await self._links()
            found = SoFar(self._up_to)
            found.sums.add_uses(linked)
            await self._add_apart(found)
            cursor = self.database["tasks"].find({"ended": {"$gte": _date(self._up_to)}}, _FIELDS)
            while docs := await cursor.to_list(_IN_STEPS):
                await self._add_tasks(found.sums, docs)
                found.tasks.update(int(doc["_id"]) for doc in docs)
            await cursor.close()
            # A link that was added meanwhile may have let tasks go that it counts.
            if await self._newest_until() == self._up_to:
                break
        return found

    async def _links(self) -> list[Use]:
        """All links added up; those that were read before are remembered."""
        if self._added_up is None:
            self._added_up, self._up_to = Sums(), 0
        sums = self._added_up
        # Links never change: the ones from here on are new.
        async for doc in self.database["usage"].find({"_id": {"$gte": self._up_to}}).sort("_id", 1):
            sums.add_uses(_uses_from(doc["uses"]))
            self._up_to = int(doc["until"])
        return sums.uses()

    async def _add_apart(self, found: "SoFar") -> None:
        sums = found.sums
        async for doc in self.database["usage_apart"].find({}):
            if "uses" in doc:
                sums.add_uses(_uses_from(doc["uses"]))
                found.tasks.add(int(doc["_id"].removeprefix(_APART)))
            else:
                amounts = (doc["tasks"], doc["failed"], doc["attempts"], doc["cpu_ms"], doc["wall_ms"])
                place = (int(doc["day"]), doc["owner"], doc["node"], doc["app"])
                tasks, failed, attempts, cpu, wall = map(int, amounts)
                sums.add(place, (tasks, failed, attempts, cpu, wall))

    async def _add_tasks(self, sums: Sums, docs: list[Document]) -> None:
        """Add tasks but for those that were written down by themselves."""
        ids = [_apart(int(doc["_id"])) for doc in docs]
        found = self.database["usage_apart"].find({"_id": {"$in": ids}}, {"_id": 1})
        apart = {doc["_id"] async for doc in found}
        for doc, name in zip(docs, ids, strict=True):
            if name not in apart:
                sums.add_task(doc["owner"], STATES[doc["state"]], attempts_from(doc["attempts"]))


def _apart(task: int) -> str:
    return f"{_APART}{task}"


def _date(ms: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)
