"""Duties: who does what there must be one of."""

import msgspec

from anchor.adapters.mongo.part import Part
from anchor.adapters.mongo.trouble import in_our_words
from anchor.adapters.mongo.writes import change, insert, new, swap
from anchor.ports.store import Duty

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Duty).decode


class Duties(Part):
    """The duty part of the store."""

    async def duty(self, name: str) -> Duty | None:
        """Who holds a duty, or held it last."""
        with in_our_words():
            doc = await self.database["duties"].find_one({"_id": name}, {"json": 1})
        return None if doc is None else _decode(doc["json"])

    async def duties(self) -> list[Duty]:
        """All duties, by name."""
        with in_our_words():
            return [_decode(doc["json"]) async for doc in self.database["duties"].find({}, {"json": 1}).sort("_id", 1)]

    async def swap_duty(self, old: Duty | None, new: Duty) -> bool:
        """Compare-and-set: False where the duty is not exactly `old` any more (None: where there is one).

        A duty has no version of its own, and one that is laid down may be taken up again in the very same words; so
        the document has one, and a write that was held up on its way cannot hit the second time the words are right.
        """
        with self.writing():
            return await self._begin(new) if old is None else await self._replace(old, new)

    async def _begin(self, duty: Duty) -> bool:
        [done] = await insert(self.database["duties"], [new({"_id": duty.name, "ver": 1, "json": _encode(duty)})])
        return done

    async def _replace(self, old: Duty, duty: Duty) -> bool:
        with in_our_words():
            doc = await self.database["duties"].find_one({"_id": old.name}, {"json": 1, "ver": 1})
        if doc is None or doc["json"] != _encode(old):
            return False
        ver = int(doc["ver"])
        [done] = await swap(self.database["duties"], [change(old.name, ver, ver + 1, {"json": _encode(duty)})])
        return done
