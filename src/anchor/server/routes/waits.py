"""Wait for many tasks with one request."""

from typing import Annotated

import msgspec
from msgspec import Meta

from anchor.core.access import Role
from anchor.core.errors import NotFound
from anchor.core.ids import key_of, wire_id
from anchor.core.task import TERMINAL, Task
from anchor.server import views
from anchor.server.http import Call, Route
from anchor.server.routes.tasks import WAIT_SECONDS_MAX, changed
from anchor.server.veil import lifted
from anchor.wire.rest import TaskResult

TASKS_MAX = 1000
ANSWER_BYTES_MAX = 8 * 1024 * 1024
"""Results beyond this wait for the next request."""
LOOK_SECONDS, LOOK_SECONDS_MAX = 0.05, 1.0
"""The oldest task wakes whoever waits; the others are looked at at least this often."""


class Awaited(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Which tasks, how many of them have to be over, and how many seconds to wait for that (at most 60)."""

    ids: Annotated[list[str], Meta(min_length=1, max_length=TASKS_MAX)]
    at_least: Annotated[int, Meta(ge=1)] = 1
    wait: Annotated[float, Meta(ge=0)] = 0.0


async def results(call: Call) -> list[TaskResult]:
    """What came of those of the tasks that are over, as soon as there are enough of them or the time is up."""
    asked: Awaited = call.body
    world = call.desk.world
    live = [key_of("task", one) for one in dict.fromkeys(asked.ids)]
    needed = min(asked.at_least, len(live))
    until = world.clock.now() + int(min(asked.wait, WAIT_SECONDS_MAX) * 1000)
    over: list[Task] = []
    pause = LOOK_SECONDS
    while True:
        with world.bus.watch_task(live[0]) as watch:
            found = await _ended(call, live)
            if found:
                over += found
                ended = {task.id for task in found}
                live = [key for key in live if key not in ended]
                pause = LOOK_SECONDS
            left = (until - world.clock.now()) / 1000
            if len(over) >= needed or left <= 0 or call.desk.stopping.is_set():
                return [views.result(await lifted(world.store, task)) for task in _fitting(over)]
            if not found and not await changed(call, watch, min(left, pause)):
                pause = min(1.5 * pause, LOOK_SECONDS_MAX)


async def _ended(call: Call, keys: list[int]) -> list[Task]:
    """Those of the tasks that are over; NotFound where the caller may not see one, or there is none."""
    tasks = await call.desk.world.store.get(keys)
    ended: list[Task] = []
    for key, task in zip(keys, tasks, strict=True):
        if task is None or (call.owner is not None and task.owner != call.owner):
            raise NotFound(
                f"There is no task {wire_id('task', key)}.",
                hint="List what there is: `anchor task ls`, or GET /api/tasks.",
            )
        if task.state in TERMINAL:
            ended.append(task)
    return ended


def _fitting(tasks: list[Task]) -> list[Task]:
    """As many of them as one answer carries, and at least one."""
    size = 0
    for at, task in enumerate(tasks):
        size += 500 + (len(task.result.json) if task.result is not None else 0)
        if size > ANSWER_BYTES_MAX and at:
            return tasks[:at]
    return tasks


ROUTES = [
    Route(
        method="POST",
        path="/api/tasks/results",
        handler=results,
        summary="The results of up to 1,000 tasks, waiting for them if asked",
        roles=(Role.VIEWER,),
        body=Awaited,
        response=list[TaskResult],
    ),
]
