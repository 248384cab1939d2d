"""The collections' indexes, as numbered steps that bring any older database up to date."""

from typing import Any, Final

import msgspec
from pymongo.errors import OperationFailure

from anchor.adapters.mongo.connection import Database, Document
from anchor.adapters.mongo.writes import persist
from anchor.core.errors import Conflict
from anchor.failpoints import reached

MARKS: Final = "marks"
"""Small facts about the whole: `schema`, `epoch`, `last_key`, `removals`, `room`, and `restore` while one goes on."""
RESTORE: Final = "restore"
_CONFLICTING: Final = frozenset({67, 85, 86})
"""CannotCreateIndex, IndexOptionsConflict, IndexKeySpecsConflict."""


class Index(msgspec.Struct, frozen=True):
    """An index as it has to be."""

    collection: str
    name: str
    keys: tuple[tuple[str, int], ...]
    only: Document | None = None
    sparse: bool = False
    unique: bool = False


# The state numbers in the partial indexes are those of `documents.CODES`: below 5 a task is live.
MIGRATIONS: Final[tuple[tuple[Index, ...], ...]] = (
    (
        # `owner` and the like at the end let a count be answered from the index alone.
        Index("tasks", "tasks_due", (("state", 1), ("wake_at", 1), ("owner", 1)), only={"state": {"$lt": 5}}),
        Index("tasks", "tasks_in_state", (("state", 1), ("_id", 1))),
        Index("tasks", "tasks_finished", (("finished_at", 1),), only={"state": {"$gt": 4}}),
        Index("tasks", "tasks_ended", (("ended", 1), ("state", 1), ("owner", 1), ("finished_at", 1)), sparse=True),
        Index("claims", "claims_at", (("at", 1),)),
    ),
    (
        Index("tasks", "tasks_verified", (("owner", 1), ("state", 1)), only={"verified": True}),
        Index("tasks", "copies_live", (("state", 1), ("owner", 1)), only={"copy": True, "state": {"$lt": 5}}),
        Index(
            "tasks",
            "copies_ended",
            (("ended", 1), ("state", 1), ("owner", 1), ("finished_at", 1)),
            only={"copy": True, "state": {"$gt": 4}},
        ),
        Index("runs", "runs_due", (("wake_at", 1),), only={"over": False}),
        Index("runs", "runs_over", (("finished_at", 1),), only={"over": True}),
        Index("runs", "runs_of_owner", (("owner", 1), ("state", 1))),
        Index("cases", "cases_opened", (("opened_at", 1),)),
    ),
    (
        Index("apps", "apps_named", (("name", 1),), unique=True),
        Index("apps", "apps_due", (("wake_at", 1),)),
    ),
    (Index("usage", "usage_until", (("until", 1),)), Index("usage_apart", "usage_day", (("day", 1),))),
)


async def migrate(database: Database) -> None:
    """Bring a database up to date. Every step may be repeated, so a crash or a second server does no harm.

    Conflict where a newer Anchor wrote it, where it is not one of ours, or where an index is not what it has to be.
    """
    marks = database[MARKS]
    mark = await marks.find_one({"_id": "schema"})
    if mark is None:
        names = set(await database.list_collection_names()) - {MARKS}
        # Looked at again: another server may have begun meanwhile, and it writes the mark before anything else.
        if names and await marks.find_one({"_id": "schema"}) is None:
            raise Conflict(
                f"The database {database.name!r} was not made by Anchor: it has {', '.join(sorted(names)[:3])}.",
                hint="Name another database in the address of the store: mongodb://host/NAME.",
                code="foreign_database",
            )
        # Written before anything else, so that a server that starts at the same moment knows the database for ours.
        await _mark(database, 0)
    version = 0 if mark is None else int(mark["value"])
    if version > len(MIGRATIONS):
        raise Conflict(
            f"The database is at schema {version}; this Anchor knows schemas up to {len(MIGRATIONS)}.",
            hint="Upgrade Anchor to at least the version that wrote this database, or choose another one.",
            code="schema_too_new",
        )
    for number, indexes in enumerate(MIGRATIONS[version:], start=version + 1):
        for index in indexes:
            await _create(database, index)
            reached("mongo.index_created")
        await _mark(database, number)
    await _check(database)


async def refuse_half_restored(database: Database) -> None:
    """Conflict where a restore goes on or was cut short, so that the store holds neither the old data nor the new."""
    if await database[MARKS].find_one({"_id": RESTORE}) is not None:
        raise Conflict(
            f"A restore into the database {database.name!r} was cut short, or still goes on.",
            hint="Run the same `anchor restore` again. The old data is in the collections before-restore-…",
            code="restore_unfinished",
        )


async def _mark(database: Database, number: int) -> None:
    await persist(lambda: database[MARKS].update_one({"_id": "schema"}, {"$max": {"value": number}}, upsert=True))


async def _create(database: Database, index: Index) -> None:
    options: dict[str, Any] = {}
    if index.only is not None:
        options["partialFilterExpression"] = index.only
    if index.sparse:
        options["sparse"] = True
    if index.unique:
        options["unique"] = True
    collection = database[index.collection]
    try:
        await collection.create_index(list(index.keys), name=index.name, **options)
    except OperationFailure as error:
        if error.code in _CONFLICTING:
            raise _conflict(database, index) from error
        raise


async def _check(database: Database) -> None:
    """Every index is there, as it has to be, whoever made it."""
    wanted = [index for step in MIGRATIONS for index in step]
    there: dict[tuple[str, str], Document] = {}
    for name in {index.collection for index in wanted}:
        async for found in await database[name].list_indexes():
            there[name, found["name"]] = dict(found)
    for index in wanted:
        found = there.get((index.collection, index.name), {})
        if (
            tuple(found.get("key", {}).items()) != index.keys
            or found.get("partialFilterExpression") != index.only
            or bool(found.get("sparse")) is not index.sparse
            or bool(found.get("unique")) is not index.unique
        ):
            raise _conflict(database, index)


def _conflict(database: Database, index: Index) -> Conflict:
    return Conflict(
        f"The index {index.name!r} of {database.name}.{index.collection} is not the one Anchor needs.",
        hint=f"Drop it with db.{index.collection}.dropIndex({index.name!r}) and start again: Anchor makes it anew.",
        code="index_conflict",
    )
