"""Runs of graphs: one document each, with the plan in a field that a change of state does not write again."""

from typing import Any

import msgspec
from msgspec.structs import replace

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.part import Part
from anchor.adapters.mongo.trouble import in_our_words
from anchor.adapters.mongo.writes import change, insert, new, persist, swap
from anchor.core.dag import RUN_OVER, Run, RunState
from anchor.core.ids import STEP
from anchor.failpoints import reached

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Run).decode


class Runs(Part):
    """The run part of the store."""

    async def insert_run(self, run: Run) -> bool:
        """Write a new run; False where the id exists already (it is left as it is)."""
        with self.writing():
            # Its steps have these keys, though no task does yet.
            await self.keep_last_key(run.id + run.steps * STEP)
            document: Document = {"_id": run.id, "ver": run.ver, "owner": run.owner, "kind": run.kind, **_changing(run)}
            if run.plan:
                document["plan"] = run.plan
            [done] = await insert(self.database["runs"], [new(document)])
            return done

    async def swap_run(self, old: Run, new: Run) -> bool:
        """Compare-and-set on `ver`."""
        with self.writing():
            changed = change(old.id, old.ver, new.ver, _changing(new), fence={"state": str(old.state)})
            [done] = await swap(self.database["runs"], [changed])
            return done

    async def run(self, run_id: int) -> Run | None:
        """One run as it is now."""
        with in_our_words():
            doc = await self.database["runs"].find_one({"_id": run_id}, {"json": 1, "plan": 1})
        return None if doc is None else run_from(doc)

    async def runs_due(self, now: int, limit: int) -> list[Run]:
        """Runs that are not over and whose `wake_at` has come, longest waiting first."""
        query = {"over": False, "wake_at": {"$lt": now + 1}}
        with in_our_words():
            cursor = self.database["runs"].find(query, {"json": 1, "plan": 1}).sort("wake_at", 1).limit(limit)
            return [run_from(doc) async for doc in cursor]

    async def runs_page(
        self, *, below: int | None, limit: int, state: RunState | None, kind: str | None, owner: str | None
    ) -> list[Run]:
        """Runs by falling id below `below`, without `plan`."""
        query: dict[str, Any] = {} if below is None else {"_id": {"$lt": below}}
        wanted = {"state": None if state is None else str(state), "kind": kind, "owner": owner}
        query |= {name: value for name, value in wanted.items() if value is not None}
        with in_our_words():
            cursor = self.database["runs"].find(query, {"json": 1}).sort("_id", -1).limit(limit)
            return [_decode(doc["json"]) async for doc in cursor]

    async def run_counts(self, owner: str | None) -> dict[RunState, int]:
        """How many runs are in each state."""
        matched: list[Document] = [] if owner is None else [{"$match": {"owner": owner}}]
        found = dict.fromkeys(RunState, 0)
        with in_our_words():
            rows = await self.database["runs"].aggregate([*matched, {"$group": {"_id": "$state", "n": {"$sum": 1}}}])
            async for row in rows:
                found[RunState(row["_id"])] = int(row["n"])
        return found

    async def remove_runs(self, before_ms: int, limit: int) -> int:
        """Remove up to `limit` runs that ended before `before_ms`; says how many."""
        runs = self.database["runs"]
        with self.writing():
            with in_our_words():
                query = {"over": True, "finished_at": {"$lt": before_ms}}
                old = [doc["_id"] async for doc in runs.find(query, {"_id": 1}).sort("finished_at", 1).limit(limit)]
            if not old:
                return 0
            # Runs that are over change no more, so this cannot take one that came to life again.
            gone = await persist(lambda: runs.delete_many({"_id": {"$in": old}, "over": True}))
            reached("mongo.runs_removed")
            return gone.deleted_count


def run_from(doc: Document) -> Run:
    """The run of a document."""
    run = _decode(doc["json"])
    return replace(run, plan=doc["plan"]) if "plan" in doc else run


def _changing(run: Run) -> Document:
    return {
        "state": str(run.state),
        "over": run.state in RUN_OVER,
        "wake_at": run.wake_at,
        "finished_at": run.finished_at,
        "json": _encode(replace(run, plan=b"")),
    }
