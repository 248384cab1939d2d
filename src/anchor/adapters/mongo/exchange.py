"""Putting a backup into a database, so that a crash leaves the old data or asks for another try.

A mark says that a restore is under way; no store is opened beside it. Then the old collections are renamed, never
deleted, the new ones are filled, and the mark is removed.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import msgspec
from pymongo.errors import PyMongoError

from anchor.adapters.mongo.clock import store_time
from anchor.adapters.mongo.connection import Database, Document, connected
from anchor.adapters.mongo.schema import MARKS, RESTORE
from anchor.adapters.mongo.store import MongoStore
from anchor.adapters.mongo.trouble import explained
from anchor.core.errors import Conflict
from anchor.failpoints import reached
from anchor.ports.store import Duty

PARTS: Final = (
    "tasks", "runs", "cases", "apps", "logs", "claims", "nodes", "keys", "audit", "usage", "usage_apart", "duties",
    "fs.files", "fs.chunks",
)  # fmt: skip
"""Every collection of a store but its marks, which stay: the epoch and the newest key must never fall."""
ASIDE: Final = "before-restore-"
"""What the names of replaced collections begin with."""
_MOVING, _LOADING = "moving", "loading"


@asynccontextmanager
async def exchanged(uri: str, *, replace: bool) -> AsyncIterator[MongoStore]:
    """An empty store to be filled, which is in use from the moment the block ends well.

    With `replace`, what is there is renamed to `before-restore-…`. Conflict where there is something without it, and
    where a server uses the database.
    """
    client, database = connected(uri)
    try:
        await _clear(database, replace=replace)
    except PyMongoError as error:
        raise explained(error) from error
    finally:
        await client.close()
    store = await MongoStore.open(uri, half_restored=True)
    try:
        yield store
        await store.database[MARKS].delete_one({"_id": RESTORE})
        reached("restore.mongo_unmarked")
    except PyMongoError as error:
        raise explained(error) from error
    finally:
        await store.close()


async def _clear(database: Database, *, replace: bool) -> None:
    mark: Document | None = await database[MARKS].find_one({"_id": RESTORE})
    there = [name for name in PARTS if name != "duties" and await database[name].find_one({}, {"_id": 1}) is not None]
    if mark is None:
        if await database[MARKS].find_one({"_id": "schema"}) is None and await database.list_collection_names():
            raise Conflict(
                f"The database {database.name!r} was not made by Anchor.",
                hint="Name another database in the address of the store: mongodb://host/NAME.",
                code="foreign_database",
            )
        if there and not replace:
            raise Conflict(
                f"There is data in the database {database.name!r} already.",
                hint="Restore into another database, or have what is there renamed with --replace.",
                code="not_empty",
            )
    await refuse_served(database)
    if mark is None:
        mark = {"stage": _MOVING, "aside": f"{ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"}
        await _mark(database, mark)
        reached("restore.mongo_marked")
    names = set(await database.list_collection_names())
    if mark["stage"] == _MOVING:
        for name in PARTS:
            if name in names:
                await database[name].rename(f"{mark['aside']}/{name}")
                reached("restore.mongo_moving")
        await _mark(database, {**mark, "stage": _LOADING})
        reached("restore.mongo_moved_aside")
    else:  # a restore that was cut short had begun to fill them
        for name in PARTS:
            await database[name].drop()
    await database[MARKS].update_one({"_id": "schema"}, {"$set": {"value": 0}}, upsert=True)


async def refuse_served(database: Database) -> None:
    """Conflict while a server holds a number in this database."""
    now = int((await store_time(database)).timestamp() * 1000)
    async for doc in database["duties"].find({"_id": {"$regex": "^server/"}}, {"json": 1}):
        duty = msgspec.json.decode(doc["json"], type=Duty)
        if duty.until > now:
            raise Conflict(
                f"A server uses the database {database.name!r}: {duty.holder}.",
                hint="Stop every server of this database first; one that was killed counts for half a minute more.",
                code="database_in_use",
            )


async def _mark(database: Database, mark: Document) -> None:
    await database[MARKS].replace_one({"_id": RESTORE}, {**mark, "_id": RESTORE}, upsert=True)
