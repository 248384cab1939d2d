"""Writes whose outcome is always found out, however often the line to MongoDB breaks.

Every document is inserted once and then only changed by compare-and-set on its rising `ver`. Each call marks what it
writes with 12 random bytes: an insert keeps them for ever as `born`, a swap pushes them to `ops`, which holds the marks
of the newest `OPS_KEPT` versions.

When a reply is lost (timeout, cut connection, a primary that stepped down, a majority that did not confirm in time) the
same request is sent again until a server gives a definite answer. That is safe, because
* of a swap and all its repeats at most one can match: the one that does raises `ver`, and `ver` never comes back;
* of an insert and all its repeats at most one can succeed: the others meet its `_id`.
The same holds for an original that was held up on its way and arrives after its repeat: when we decide, a server has
answered a repeat, so the `_id` exists or the `ver` has moved on (or the document is gone), and the original meets that.

The answer is then read off the document, as a majority has it: `born` or one of `ops` is our mark exactly if one of our
tries did it. A mark that is not there proves the opposite unless it may have been pushed out, which takes `OPS_KEPT`
later versions, or the document was removed meanwhile. Only then, or when no server can be reached for
`RESOLVE_SECONDS`, the outcome stays unknown and `UnknownOutcome` says so. `Unavailable` means that nothing was sent.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import bson
import msgspec
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, PyMongoError

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.trouble import DUPLICATE, codes_of, explained, was_never_sent, was_refused
from anchor.ports.store import UnknownOutcome

Collection = AsyncCollection[Document]
R = TypeVar("R")

OPS_KEPT: Final = 8
RESOLVE_SECONDS: Final = 10.0
"""How long to go on asking what became of a write."""
FIRST_WAIT_SECONDS: Final = 0.05
LONGEST_WAIT_SECONDS: Final = 1.0


class New(msgspec.Struct, frozen=True):
    """A document to insert, already encoded."""

    id: Any
    born: bytes
    raw: RawBSONDocument


class Change(msgspec.Struct, frozen=True):
    """A document to change, if it still is at `ver` and has the values in `fence`.

    The fence is for versions that come back with other contents, which a rollback of what a majority had confirmed can
    bring about. `stamped` writes the store's own time into `ended`.
    """

    id: Any
    ver: int
    new_ver: int
    sets: RawBSONDocument
    stamped: bool = False
    fence: Document = {}


def new(document: Document) -> New:
    """A document (with its `_id`) ready to be inserted; raises what the encoder raises."""
    born = os.urandom(12)
    return New(document["_id"], born, RawBSONDocument(bson.encode({**document, "born": born})))


def change(
    key: Any, ver: int, new_ver: int, sets: Document, *, stamped: bool = False, fence: Document | None = None
) -> Change:
    """A change ready to be made; raises what the encoder raises."""
    return Change(key, ver, new_ver, RawBSONDocument(bson.encode({**sets, "ver": new_ver})), stamped, fence or {})


class Tries:
    """The tries of one write: when the next one is due and when to give up."""

    def __init__(self) -> None:
        self.in_doubt = False
        """Whether an earlier try may have been carried out."""
        self._deadline = 0.0
        self._wait = FIRST_WAIT_SECONDS

    async def after(self, error: PyMongoError) -> None:
        """Return when it is time to try again, or raise what the caller has to know."""
        if not self.in_doubt and (was_never_sent(error) or was_refused(error)):
            raise explained(error) from error
        now = time.monotonic()
        if not self.in_doubt:
            self.in_doubt = True
            self._deadline = now + RESOLVE_SECONDS
        if was_refused(error) or now >= self._deadline:
            raise UnknownOutcome(f"MongoDB did not say whether it was written: {explained(error).message}") from error
        await asyncio.sleep(self._wait)
        self._wait = min(2 * self._wait, LONGEST_WAIT_SECONDS)


async def insert(collection: Collection, news: Sequence[New]) -> list[bool]:
    """Insert documents with distinct ids; False for one whose id exists already."""
    tries = Tries()
    while True:
        try:
            try:
                await collection.insert_many([one.raw for one in news], ordered=False)
            except BulkWriteError as error:
                if error.details.get("writeConcernErrors") or codes_of(error) != {DUPLICATE}:
                    raise
                taken = {entry["index"] for entry in error.details["writeErrors"]}
            else:
                return [True] * len(news)
            if tries.in_doubt:
                ours = await _born_by_us(collection, [news[at] for at in taken])
                return [at not in taken or one.id in ours for at, one in enumerate(news)]
            return [at not in taken for at in range(len(news))]
        except PyMongoError as error:
            await tries.after(error)


async def swap(collection: Collection, changes: Sequence[Change]) -> list[bool]:
    """Compare-and-set documents with distinct ids on their versions; False where somebody else was faster."""
    op = os.urandom(12)
    requests = [_update(one, op) for one in changes]
    tries = Tries()
    matched: int | None = None
    while True:
        try:
            if matched is None:
                answer = await collection.bulk_write(requests, ordered=False)
                if answer.matched_count == len(changes):
                    return [True] * len(changes)
                if not tries.in_doubt:
                    matched = answer.matched_count
                    if matched == 0:
                        return [False] * len(changes)
            return await _told_apart(collection, changes, op, matched)
        except PyMongoError as error:
            await tries.after(error)


async def persist(idempotent: Callable[[], Awaitable[R]]) -> R:
    """Repeat a write that may safely be carried out twice until a server says that it was."""
    tries = Tries()
    while True:
        try:
            return await idempotent()
        except PyMongoError as error:
            await tries.after(error)


def _update(one: Change, op: bytes) -> UpdateOne:
    how: Document = {"$set": one.sets, "$push": {"ops": {"$each": [op], "$slice": -OPS_KEPT}}}
    if one.stamped:
        how["$currentDate"] = {"ended": True}
    return UpdateOne({"_id": one.id, "ver": one.ver, **one.fence}, how)


async def _born_by_us(collection: Collection, news: Sequence[New]) -> set[Any]:
    found = collection.find({"_id": {"$in": [one.id for one in news]}}, {"born": 1})
    born = {doc["_id"]: doc.get("born") async for doc in found}
    if len(born) != len(news):
        raise UnknownOutcome("A new document is not there; whether we wrote it and it was removed since is not known.")
    return {one.id for one in news if born[one.id] == one.born}


async def _told_apart(collection: Collection, changes: Sequence[Change], op: bytes, matched: int | None) -> list[bool]:
    """Which of the changes were made by `op`; `matched` is how many, where that is known."""
    cursor = collection.find({"_id": {"$in": [one.id for one in changes]}}, {"ops": 1, "ver": 1})
    found = {doc["_id"]: doc async for doc in cursor}
    ours = [op in found.get(one.id, {}).get("ops", ()) for one in changes]
    if sum(ours) != matched:
        for one, mine in zip(changes, ours, strict=True):
            if not mine and _may_be_forgotten(one, found.get(one.id)):
                raise UnknownOutcome("A document has changed too often since to tell whether we changed it.")
    return ours


def _may_be_forgotten(one: Change, now: Document | None) -> bool:
    if now is None:
        return True
    return now["ver"] >= one.new_ver + OPS_KEPT and len(now.get("ops", ())) >= OPS_KEPT
