"""Lists of tasks, newest first, and how many there are: one call looks at a bounded number of documents."""

import contextlib
import re
from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.documents import CODES, READ, STATES, task_from
from anchor.adapters.mongo.writes import Collection
from anchor.core.task_query import TaskQuery, name_has
from anchor.ports.store import Counted, Page

BOUND: Final = 20_000
"""Documents that one call looks at, at most."""
_AT_ONCE: Final = 500
"""Documents whose names are looked at before others get their turn."""


class _Named(msgspec.Struct):
    """As much of a spec as is needed here."""

    name: str


_name_in = msgspec.json.Decoder(_Named).decode


async def page_of(tasks: Collection, query: TaskQuery, *, below: int | None, limit: int, skip: int) -> Page:
    """The newest `limit` tasks below `below` that fit, after `skip` of them; fewer, with a place to go on, where the
    bound came first."""
    walked = _walked(query, below=below, above=None)
    # In the list of all, few copies stand between two tasks that are shown: the bound is not needed.
    is_short = query == TaskQuery() and skip == 0
    floor = None if is_short else await _bounded(tasks, walked)
    among = {**walked, **_fits(query)}
    if query.name is None:
        ids, passed = await _behind(tasks, among, skip, limit + 1)
    else:
        ids, passed = await _named(tasks, query.name, among, skip, limit + 1)
    if len(ids) > limit:
        ids.pop()
        floor = ids[-1]
    found = await tasks.find({"_id": {"$in": ids}}, READ).sort("_id", -1).to_list() if ids else []
    return Page([task_from(doc) for doc in found], floor, passed)


async def counted(tasks: Collection, query: TaskQuery, *, below: int | None, above: int | None) -> Counted:
    """How many of the newest `BOUND` documents between `above` and `below` fit, by state, and where to go on."""
    walked = _walked(query, below=below, above=above)
    floor = await _bounded(tasks, walked)
    among = {**walked, **_fits(query)}
    codes: dict[int, int] = {}
    if query.name is None:
        pipeline = [{"$match": among}, {"$group": {"_id": "$state", "n": {"$sum": 1}}}]
        async for row in await tasks.aggregate(pipeline):
            codes[row["_id"]] = int(row["n"])
    else:
        async for _, code in _with_name(tasks, query.name, among):
            codes[code] = codes.get(code, 0) + 1
    return Counted({STATES[code]: n for code, n in codes.items()}, floor)


async def _behind(tasks: Collection, among: Document, skip: int, most: int) -> tuple[list[int], int]:
    """The newest `most` of these documents behind the first `skip`, and how many those were: MongoDB passes them by
    itself, so that the end of a long list is not read through here."""
    found = await tasks.find(among, {"_id": 1}).sort("_id", -1).skip(skip).limit(most).to_list()
    passed = skip if found or not skip else await tasks.count_documents(among, limit=skip)
    return [int(doc["_id"]) for doc in found], passed


async def _named(tasks: Collection, name: str, among: Document, skip: int, most: int) -> tuple[list[int], int]:
    """The same of those with this part in their name."""
    ids: list[int] = []
    async with contextlib.aclosing(_with_name(tasks, name, among)) as found:
        async for key, _ in found:
            ids.append(key)
            if len(ids) == skip + most:
                break
    return ids[skip:], min(skip, len(ids))


async def _with_name(tasks: Collection, part: str, among: Document) -> AsyncGenerator[tuple[int, int]]:
    """The ids and states of those with this part in their name, which is no field of its own: it is read out of the
    spec."""
    async with tasks.find(among, {"state": 1, "spec": 1}).sort("_id", -1).batch_size(_AT_ONCE) as cursor:
        async for doc in cursor:
            if name_has(_name_in(doc["spec"]).name, part):
                yield int(doc["_id"]), doc["state"]


def _walked(query: TaskQuery, *, below: int | None, above: int | None) -> Document:
    walked: Document = {} if query.state is None else {"state": CODES[query.state]}
    bounds = {name: bound for name, bound in (("$lt", below), ("$gt", above)) if bound is not None}
    return {**walked, "_id": bounds} if bounds else walked


def _fits(query: TaskQuery) -> Document:
    fits: Document = {"copy": None}
    for field, value in (("owner", query.owner), ("labels", query.label), ("node", query.node), ("part_of", query.run)):
        if value is not None:
            fits[field] = value
    if query.runtime is not None:
        # The runtime comes first in a shape, and is left out where it is noop.
        begin = re.escape(f'{{"runtime":"{query.runtime}"')
        fits["shape"] = {"$regex": r"^(?!\{\"runtime\":)" if query.runtime == "noop" else f"^{begin}"}
    times = {name: bound for name, bound in (("$gte", query.since), ("$lte", query.until)) if bound is not None}
    return {**fits, "created_at": times} if times else fits


async def _bounded(tasks: Collection, walked: dict[str, Any]) -> int | None:
    """Cut a walk to `BOUND` documents: the id of its last one, read off an index alone; None where it ends before."""
    found = await tasks.find(walked, {"_id": 1}).sort("_id", -1).skip(BOUND - 1).limit(1).to_list()
    if not found:
        return None
    floor = int(found[0]["_id"])
    walked["_id"] = {**walked.get("_id", {}), "$gte": floor}
    return floor
