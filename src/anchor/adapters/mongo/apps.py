"""Apps: one document each, found by its id and by its name, which no two have."""

import msgspec
from pymongo.errors import PyMongoError

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.logs import before_task
from anchor.adapters.mongo.part import Part
from anchor.adapters.mongo.trouble import in_our_words
from anchor.adapters.mongo.writes import Tries, change, insert, new, persist, swap
from anchor.core.app import App
from anchor.failpoints import reached
from anchor.ports.store import UnknownOutcome

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(App).decode


class Apps(Part):
    """The app part of the store."""

    async def insert_app(self, app: App) -> bool:
        """Write a new app; False where its id or its name is taken (what is there is left as it is)."""
        document = {"_id": app.id, "ver": app.ver, "name": app.name, **_changing(app), **_fence(app)}
        with self.writing():
            [done] = await insert(self.database["apps"], [new(document)])
            return done

    async def swap_app(self, old: App, new: App) -> bool:
        """Compare-and-set on `ver`."""
        sets = {**_changing(new), **_fence(new)}
        with self.writing():
            [done] = await swap(self.database["apps"], [change(old.id, old.ver, new.ver, sets, fence=_fence(old))])
            return done

    async def app(self, app_id: int) -> App | None:
        """One app as it is now."""
        return await self._one({"_id": app_id})

    async def app_named(self, name: str) -> App | None:
        """The app with this name."""
        return await self._one({"name": name})

    async def app_versions(self) -> dict[int, int]:
        """The version of every app, by id."""
        with in_our_words():
            return {int(doc["_id"]): int(doc["ver"]) async for doc in self.database["apps"].find({}, {"ver": 1})}

    async def apps_due(self, now: int, limit: int) -> list[App]:
        """Apps whose `wake_at` has come, longest waiting first."""
        with in_our_words():
            cursor = self.database["apps"].find({"wake_at": {"$lt": now + 1}}, {"json": 1})
            return [_decode(doc["json"]) async for doc in cursor.sort("wake_at", 1).limit(limit)]

    async def remove_app(self, app: App) -> bool:
        """Remove an app if `app.ver` is still the stored version, with its log; its name is free again.

        UnknownOutcome where the first reply was lost and the app is gone: nothing is left that says who removed it.
        """
        with self.writing():
            now = await self.app(app.id)
            if now is None or now.ver != app.ver:
                return False
            # Before the app: what is left of a log whose app is gone would be found by nobody.
            output = {"_id": {"$gt": before_task(app.id), "$lt": before_task(app.id + 1)}}
            await persist(lambda: self.database["logs"].delete_many(output))
            reached("mongo.app_log_removed")
            # Ids go on rising when this one is gone.
            await self.keep_last_key(app.id)
            return await self._gone(app)

    async def _gone(self, app: App) -> bool:
        tries = Tries()
        while True:
            try:
                gone = await self.database["apps"].delete_one({"_id": app.id, "ver": app.ver, **_fence(app)})
            except PyMongoError as error:
                await tries.after(error)
                continue
            reached("mongo.app_removed")
            if tries.in_doubt and not gone.deleted_count:
                raise UnknownOutcome("The app is gone or has changed; whether we removed it is not known.")
            return gone.deleted_count == 1

    async def _one(self, query: Document) -> App | None:
        with in_our_words():
            doc = await self.database["apps"].find_one(query, {"json": 1})
        return None if doc is None else _decode(doc["json"])


def _fence(app: App) -> Document:
    """What must not go back, whatever a version stands for after a rollback: the generations and the owner's word."""
    return {"generations": app.generations, "wanted": str(app.wanted)}


def _changing(app: App) -> Document:
    return {"wake_at": app.wake_at, "json": _encode(app)}
