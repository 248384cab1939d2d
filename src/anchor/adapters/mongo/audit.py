"""The audit chain, one small document an entry."""

import msgspec

from anchor.adapters.mongo.part import Part
from anchor.adapters.mongo.trouble import in_our_words
from anchor.adapters.mongo.writes import insert, new
from anchor.core.audit import Entry

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


class Audit(Part):
    """The audit part of the store."""

    async def audit_tail(self) -> Entry | None:
        """The newest entry."""
        entries = await self.audit_page(None, 1)
        return entries[0] if entries else None

    async def audit_append(self, entry: Entry) -> bool:
        """Write an entry; False where its number is taken."""
        with self.writing():
            [done] = await insert(self.database["audit"], [new({"_id": entry.number, "json": _encode(entry)})])
            return done

    async def audit_page(self, below: int | None, limit: int) -> list[Entry]:
        """Entries by falling number below `below`."""
        query = {} if below is None else {"_id": {"$lt": below}}
        with in_our_words():
            cursor = self.database["audit"].find(query, {"json": 1}).sort("_id", -1).limit(limit)
            return [_decode(doc["json"]) async for doc in cursor]
