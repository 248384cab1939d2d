"""Lists of tasks, newest first, and how many there are: one call looks at a bounded number of documents."""

import re
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.documents import CODES, READ, STATES, task_from
from anchor.adapters.mongo.writes import Collection
from anchor.core.spec import TaskSpec
from anchor.core.task_query import TaskQuery, name_has
from anchor.ports.store import Counted, Page

BOUND: Final = 20_000
"""Documents that one call looks at, at most."""
_spec_from = msgspec.json.Decoder(TaskSpec).decode


async def page_of(tasks: Collection, query: TaskQuery, *, below: int | None, limit: int, skip: int) -> Page:
    """The newest `limit` tasks below `below` that fit, after `skip` of them; fewer, with a place to go on, where the
    bound came first."""
    walked, fits = _walked(query, below=below, above=None), _fits(query)
    # In the list of all, few copies stand between two tasks that are shown: the bound is not needed.
    is_short = query == TaskQuery() and skip == 0
    floor = None if is_short else await _bounded(tasks, walked)
    ids: list[int] = []
    async for doc in _matching(tasks, query, {**walked, **fits}, skip + limit + 1):
        ids.append(int(doc["_id"]))
        if len(ids) > skip + limit:
            break
    passed = min(skip, len(ids))
    if len(ids) > skip + limit:
        ids.pop()
        floor = ids[-1]
    found = await tasks.find({"_id": {"$in": ids[skip:]}}, READ).sort("_id", -1).to_list() if ids[skip:] else []
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
        async for doc in _matching(tasks, query, among, BOUND):
            codes[doc["state"]] = codes.get(doc["state"], 0) + 1
    return Counted({STATES[code]: n for code, n in codes.items()}, floor)


async def _matching(tasks: Collection, query: TaskQuery, among: Document, most: int) -> AsyncIterator[Document]:
    """The number and state of documents that fit. A name is no field of its own: it is read out of the spec."""
    if query.name is None:
        async for doc in tasks.find(among, {"state": 1}).sort("_id", -1).limit(most):
            yield doc
        return
    async for doc in tasks.find(among, {"state": 1, "spec": 1}).sort("_id", -1):
        if name_has(_spec_from(doc["spec"]).name, query.name):
            yield doc


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
