"""Credentials: one small document each, found by the digest of the secret."""

import msgspec
from pymongo.errors import PyMongoError

from anchor.adapters.mongo.part import Part
from anchor.adapters.mongo.trouble import in_our_words
from anchor.adapters.mongo.writes import Tries, change, insert, new, swap
from anchor.core.access import Key
from anchor.core.errors import Conflict
from anchor.ports.store import UnknownOutcome

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Key).decode


class Keys(Part):
    """The key part of the store."""

    async def add_key(self, key: Key) -> None:
        """Keep a new key; Conflict where its digest is known already."""
        document = {"_id": key.digest, "ver": key.ver, "created_at": key.created_at, "json": _encode(key)}
        with self.writing():
            if await insert(self.database["keys"], [new(document)]) != [True]:
                raise Conflict("This key exists already.", hint="Make a new one.", code="key_exists")

    async def key(self, digest: str) -> Key | None:
        """The key with this digest."""
        with in_our_words():
            doc = await self.database["keys"].find_one({"_id": digest}, {"json": 1})
        return None if doc is None else _decode(doc["json"])

    async def swap_key(self, old: Key, new: Key) -> bool:
        """Compare-and-set on `ver`: how a single use is taken exactly once."""
        with self.writing():
            [done] = await swap(self.database["keys"], [change(old.digest, old.ver, new.ver, {"json": _encode(new)})])
            return done

    async def keys(self) -> list[Key]:
        """All keys, newest first."""
        with in_our_words():
            cursor = self.database["keys"].find({}, {"json": 1}).sort([("created_at", -1), ("_id", 1)])
            return [_decode(doc["json"]) async for doc in cursor]

    async def remove_key(self, digest: str) -> bool:
        """Forget a key; False where there was none.

        UnknownOutcome where the first reply was lost and the key is gone: nothing is left that says who removed it.
        """
        tries = Tries()
        with self.writing():
            while True:
                try:
                    gone = await self.database["keys"].delete_one({"_id": digest})
                except PyMongoError as error:
                    await tries.after(error)
                    continue
                if tries.in_doubt and not gone.deleted_count:
                    raise UnknownOutcome("The key is gone; whether we removed it is not known.")
                return gone.deleted_count == 1
