"""The items of a parallel step of a run: how many are in which state, and each of them with why."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from anchor.core.access import Role
from anchor.core.dag import StepId
from anchor.core.errors import NotFound
from anchor.core.ids import wire_id
from anchor.core.items import Items
from anchor.server import item_views
from anchor.server.http import Answer, Call, Route
from anchor.server.item_views import Listed
from anchor.server.paging import next_link, read_cursor
from anchor.server.routes import dags
from anchor.wire.dags import ItemCounts, ItemState, ItemView

CURSOR = "i"


class CountsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Of which step."""

    step: StepId


class ItemsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Of which step, which items, how many, and where to go on; without the first `offset` of those."""

    step: StepId
    state: ItemState | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    offset: Annotated[int, Meta(ge=0)] = 0
    cursor: str | None = None


async def _listed(call: Call) -> Listed:
    """The step that was asked for, if the caller may see its run and it has items."""
    run = await dags.find(call)
    step: str = call.query.step
    number = (await dags.sketch_of(call.desk, run)).plan.numbers().get(step)
    if number is None:
        raise NotFound(
            f"The graph has no step {step!r}.", hint=f"List its steps with `anchor dag get {wire_id('dag', run.id)}`."
        )
    [head] = await call.desk.world.store.get([run.key_of(number)])
    if head is None or not isinstance(head.parts, Items):
        raise NotFound(
            f"Step {step!r} has no items.",
            hint="Name a parallel step that was begun; one that was reused has them in the run that this one repeats.",
        )
    return Listed(head, head.parts)


async def counts(call: Call) -> ItemCounts:
    """How many items of a parallel step are in each state."""
    listed = await _listed(call)
    found = Counter(await item_views.states(call.desk.world.store, listed))
    return ItemCounts(counts=dict(found), total=listed.parts.count)


async def index(call: Call) -> Answer:
    """Items of a parallel step, in order."""
    query: ItemsQuery = call.query
    after = read_cursor(CURSOR, query.cursor)
    listed = await _listed(call)
    numbers = await _numbers(call, listed, query.state)
    headers = {"x-total-count": str(len(numbers))}
    first = query.offset + (0 if after is None else bisect_right(numbers, after))
    page = numbers[first : first + query.limit]
    if page and first + len(page) < len(numbers):
        asked = {"step": query.step, "state": query.state, "limit": query.limit}
        headers["link"] = next_link(f"/api/dags/{call.path['id']}/items", CURSOR, page[-1], **asked)
    return Answer(await item_views.rows(call.desk, listed, page), headers=headers)


async def _numbers(call: Call, listed: Listed, state: ItemState | None) -> Sequence[int]:
    """The items in a state, rising; without one there is no need to look."""
    if state is None:
        return range(listed.parts.count)
    wanted = "leased" if state == "running" else state
    found = await item_views.states(call.desk.world.store, listed)
    return [number for number, one in enumerate(found) if one == wanted]


ROUTES = [
    Route(
        method="GET",
        path="/api/dags/{id}/items",
        handler=index,
        summary="Items of a parallel step of a run, in order",
        roles=(Role.VIEWER,),
        query=ItemsQuery,
        response=list[ItemView],
    ),
    Route(
        method="GET",
        path="/api/dags/{id}/items/counts",
        handler=counts,
        summary="How many items of a parallel step are in each state",
        roles=(Role.VIEWER,),
        query=CountsQuery,
        response=ItemCounts,
    ),
]
