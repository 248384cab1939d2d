"""Cases: evidence of dissent, one small document each, and how many tasks are verified by copies."""

import msgspec

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.documents import STATES
from anchor.adapters.mongo.part import Part
from anchor.adapters.mongo.trouble import in_our_words
from anchor.adapters.mongo.writes import change, insert, new, persist, swap
from anchor.core.case import Case
from anchor.core.task import State
from anchor.failpoints import reached

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Case).decode


class Cases(Part):
    """The case part of the store."""

    async def insert_case(self, case: Case) -> bool:
        """Write a new case; False where the id exists already (it is left as it is)."""
        document = {
            "_id": case.id,
            "ver": case.ver,
            "owner": case.owner,
            "opened_at": case.opened_at,
            **_changing(case),
        }
        with self.writing():
            [done] = await insert(self.database["cases"], [new(document)])
            return done

    async def swap_case(self, old: Case, new: Case) -> bool:
        """Compare-and-set on `ver`."""
        with self.writing():
            changed = change(old.id, old.ver, new.ver, _changing(new), fence={"state": str(old.state)})
            [done] = await swap(self.database["cases"], [changed])
            return done

    async def case(self, case_id: int) -> Case | None:
        """One case as it is now."""
        with in_our_words():
            doc = await self.database["cases"].find_one({"_id": case_id}, {"json": 1})
        return None if doc is None else _decode(doc["json"])

    async def cases_page(self, *, below: int | None, limit: int, owner: str | None) -> list[Case]:
        """Cases by falling id below `below`."""
        query: Document = {} if below is None else {"_id": {"$lt": below}}
        if owner is not None:
            query["owner"] = owner
        with in_our_words():
            cursor = self.database["cases"].find(query, {"json": 1}).sort("_id", -1).limit(limit)
            return [_decode(doc["json"]) async for doc in cursor]

    async def round_counts(self, owner: str | None) -> dict[State, int]:
        """How many tasks that are verified by copies are in each state."""
        matched: Document = {"verified": True}
        if owner is not None:
            matched["owner"] = owner
        found = dict.fromkeys(State, 0)
        with in_our_words():
            pipeline: list[Document] = [{"$match": matched}, {"$group": {"_id": "$state", "n": {"$sum": 1}}}]
            async for row in await self.database["tasks"].aggregate(pipeline):
                found[STATES[row["_id"]]] = int(row["n"])
        return found

    async def remove_cases(self, before_ms: int, limit: int) -> int:
        """Remove up to `limit` cases opened before `before_ms`; says how many."""
        cases = self.database["cases"]
        with self.writing():
            with in_our_words():
                query = {"opened_at": {"$lt": before_ms}}
                old = [doc["_id"] async for doc in cases.find(query, {"_id": 1}).sort("opened_at", 1).limit(limit)]
            if not old:
                return 0
            gone = await persist(lambda: cases.delete_many({"_id": {"$in": old}}))
            reached("mongo.cases_removed")
            return gone.deleted_count


def _changing(case: Case) -> Document:
    return {"state": str(case.state), "json": _encode(case)}
