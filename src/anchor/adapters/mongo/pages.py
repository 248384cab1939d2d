"""Lists of tasks, newest first: whatever is asked for, one page looks at a bounded number of documents."""

from typing import Any, Final

from anchor.adapters.mongo.connection import Document
from anchor.adapters.mongo.documents import CODES, READ, task_from
from anchor.adapters.mongo.writes import Collection
from anchor.core.task import State
from anchor.ports.store import Page

BOUND: Final = 20_000
"""Documents that one page looks at, at most."""


async def page_of(
    tasks: Collection, *, below: int | None, limit: int, state: State | None, label: str | None, owner: str | None
) -> Page:
    """The newest `limit` tasks below `below` that fit; fewer, with a place to go on, where the bound came first."""
    walked: Document = {} if state is None else {"state": CODES[state]}
    if below is not None:
        walked["_id"] = {"$lt": below}
    fits: Document = {"copy": None}
    if owner is not None:
        fits["owner"] = owner
    if label is not None:
        fits["labels"] = label
    # In the list of all, few copies stand between two tasks that are shown: the bound is not needed.
    floor = None if state is None and owner is None and label is None else await _floor(tasks, walked)
    if floor is not None:
        walked["_id"] = {**walked.get("_id", {}), "$gte": floor}
    found = await tasks.find({**walked, **fits}, READ).sort("_id", -1).limit(limit + 1).to_list()
    if len(found) > limit:
        found.pop()
        return Page([task_from(doc) for doc in found], int(found[-1]["_id"]))
    return Page([task_from(doc) for doc in found], floor)


async def _floor(tasks: Collection, walked: dict[str, Any]) -> int | None:
    """The last id of a walk of `BOUND` tasks, read off an index alone; None where it ends before."""
    found = await tasks.find(walked, {"_id": 1}).sort("_id", -1).skip(BOUND - 1).limit(1).to_list()
    return int(found[0]["_id"]) if found else None
