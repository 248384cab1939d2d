"""Items of a parallel step as the API shows them: each is its task, or the second copy of that where it counts."""

import asyncio
from collections.abc import Sequence

import msgspec

from anchor.core.dag import StepState
from anchor.core.ids import wire_id
from anchor.core.items import Items
from anchor.core.task import TERMINAL, State, Task
from anchor.ports.store import TaskStore
from anchor.server import views
from anchor.server.desk import Desk
from anchor.server.run_views import REMOVED
from anchor.wire.dags import ItemView
from anchor.wire.rest import time_of

THREAD_ITEMS = 5_000
"""The states of more items are brought together in a thread, so that nobody else waits for it."""


class Listed(msgspec.Struct, frozen=True):
    """The task of a parallel step, and its items."""

    head: Task
    parts: Items

    @property
    def missing(self) -> str:
        """What an item is that has no task: one yet to be made, never made, or past its retention."""
        if self.head.state not in TERMINAL:
            return StepState.WAITING
        return REMOVED if self.head.state is State.SUCCEEDED else StepState.SKIPPED


def copy_counts(own: State, copy: State) -> bool:
    """Whether the second copy of an item says how the item is, and not its own task."""
    if own is State.SUCCEEDED:
        return False
    return copy is State.SUCCEEDED or (own in TERMINAL and copy not in TERMINAL)


async def states(store: TaskStore, listed: Listed) -> list[str]:
    """The state of every item, in order."""
    parts = listed.parts
    own = await store.states(parts.first, parts.count)
    copies = await store.states(parts.key(parts.count), parts.count) if parts.speculate else {}
    if parts.count > THREAD_ITEMS:
        return await asyncio.to_thread(_together, listed, own, copies)
    return _together(listed, own, copies)


def _together(listed: Listed, own: dict[int, State], copies: dict[int, State]) -> list[str]:
    parts = listed.parts
    missing = listed.missing
    found: list[str] = [own.get(parts.key(number), missing) for number in range(parts.count)]
    for key, copy in copies.items():
        number = parts.item_of(key)
        first = own.get(parts.key(number))
        if first is None or copy_counts(first, copy):
            found[number] = copy
    return found


async def rows(desk: Desk, listed: Listed, numbers: Sequence[int]) -> list[ItemView]:
    """These items, with what their tasks say."""
    parts = listed.parts
    keys = [parts.key(number) for number in numbers]
    own = await desk.world.store.get(keys)
    copies: list[Task | None] = [None] * len(keys)
    if parts.speculate:
        copies = await desk.world.store.get([parts.key(number + parts.count) for number in numbers])
    return [
        _row(number, _which(first, copy), listed.missing, desk)
        for number, first, copy in zip(numbers, own, copies, strict=True)
    ]


def _which(own: Task | None, copy: Task | None) -> Task | None:
    if own is None or copy is None:
        return own or copy
    return copy if copy_counts(own.state, copy.state) else own


def _row(number: int, task: Task | None, missing: str, desk: Desk) -> ItemView:
    if task is None:
        return ItemView(number, missing, None, None, 0, None, None, None)
    return ItemView(
        number=number,
        state=views.shown_state(task, desk.world.fleet),
        task_id=wire_id("task", task.id),
        node_id=task.node or None,
        attempt=task.attempt,
        reason=task.reason,
        started_at=time_of(task.leased_at) if task.leased_at is not None else None,
        finished_at=time_of(task.finished_at) if task.finished_at is not None else None,
    )
