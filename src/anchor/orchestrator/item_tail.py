"""The last items of a list: one that takes long runs a second time, on another node, and the first answer counts."""

from itertools import islice

import msgspec

from anchor.core.attempt import Reason
from anchor.core.errors import FailureCode
from anchor.core.items import Items, Walk
from anchor.core.task import TERMINAL, State, Task
from anchor.orchestrator.cancel import cancel_all
from anchor.orchestrator.enter import enter
from anchor.orchestrator.item_drafts import draft, template_of
from anchor.orchestrator.whole import read_whole
from anchor.orchestrator.world import World

LOOKED_AT_MAX = 64
"""Items of a tail that are looked at together, those with the lowest number."""
SAMPLE = 32
OTHER_WAS_FIRST = Reason(FailureCode.CANCELLED, "The other copy of this item was first.")


async def second_copies(world: World, head: Task, parts: Items, walk: Walk) -> None:
    """Make second copies of items that run for longer than they should, while slots are open."""
    now = world.clock.now()
    if walk.slow_from_ms is None:
        await _sample(world, parts, walk)
    slow_from = walk.slow_from_ms
    room = world.fleet.free(now=now)
    if slow_from is None or room <= 0:
        return
    numbers = [number for number in islice(walk.unended(), LOOKED_AT_MAX) if number not in walk.copies]
    slow = [
        task
        for task in await world.store.get([parts.key(number) for number in numbers])
        if task is not None and task.state is State.LEASED and now - (task.leased_at or now) > slow_from
        if any(seat.free > 0 and seat.node != task.node for seat in world.fleet.seats())
    ]
    if not slow:
        return
    payload = await template_of(world, head)
    copies = []
    for task in slow[:room]:
        item = task.origin.number if task.origin is not None else 0
        [own] = await world.store.payloads([task.id]) if not task.payload_blob else [b""]
        if not own:
            own = await read_whole(world.blobs, task.payload_blob)
        value = msgspec.json.decode(own, type=_Own).input
        number = item + parts.count
        copies.append(draft(world, head, parts, payload, value, number=number, apart=(task.id, 1)))
        walk.copies.add(item)
    await enter(world, copies, fresh=True)
    # What ended while they were written has not stopped them.
    [now_head, *items] = await world.store.get([head.id, *(task.id for task in slow[:room])])
    over = now_head is None or now_head.state is not State.WAITING
    late = [copy.id for copy, item in zip(copies, items, strict=True) if over or item is None or item.state in TERMINAL]
    if late:
        await cancel_all(world, late, reason=OTHER_WAS_FIRST)


class _Own(msgspec.Struct):
    input: msgspec.Raw = msgspec.Raw(b"null")


async def _sample(world: World, parts: Items, walk: Walk) -> None:
    """Learn from some items how long they take, where nobody here saw them end."""
    over = [number for number in range(parts.count) if walk.is_over(number)][:SAMPLE]
    for task in await world.store.get([parts.key(number) for number in over]):
        if task is not None and task.state is State.SUCCEEDED and task.attempts:
            walk.took(task.attempts[-1].ended_at - task.attempts[-1].leased_at)
