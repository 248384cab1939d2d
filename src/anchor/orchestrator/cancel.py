"""A task is ended before its time: at once where nobody holds it, by way of its node where somebody does.

A task that no node runs is left cancelling: `follow` stops its items or copies, and ends it when they are over.
"""

from collections import defaultdict
from collections.abc import Sequence

from anchor.core.attempt import Reason
from anchor.core.errors import Conflict, NotFound, Unavailable
from anchor.core.ids import wire_id
from anchor.core.task import TERMINAL, State, Task
from anchor.core.task import cancel as cancelled
from anchor.failpoints import reached
from anchor.orchestrator.settle import TRIES_MAX
from anchor.orchestrator.world import World
from anchor.ports.store import Swap


async def cancel(world: World, task_id: int, *, by: str) -> Task:
    """The task as it is after the wish was written down: cancelled, or cancelling until its node lets go."""
    for _ in range(TRIES_MAX):
        [task] = await world.store.get([task_id])
        if task is None:
            raise NotFound(f"There is no task {wire_id('task', task_id)}.", hint="List tasks with `anchor task ls`.")
        if task.state in TERMINAL and task.state is not State.CANCELLED:
            raise Conflict(
                f"The task has {task.state} already; there is nothing left to cancel.",
                hint="A finished task never changes. To run it again, retry it.",
                code="already_finished",
            )
        if task.state is State.CANCELLED:
            return task
        if task.state is not State.CANCELLING:
            new = cancelled(task, by=by, now=world.clock.now())
            [done] = await world.store.swap([Swap(task, new)])
            reached("cancel.written")
            if not done:
                continue
            task = new
            if world.onlooker is not None:
                world.onlooker([task])
            world.bus.tasks_changed([task.id])
            _tell(world, [task])
        if task.state is State.CANCELLING and task.parts is None:
            await stop_held(world, task)
        reached("cancel.asked")
        return task
    raise Unavailable("The task changed too often to cancel it.", hint="Try again.", retry_after_seconds=1)


async def cancel_all(world: World, ids: Sequence[int], *, reason: Reason) -> list[Task]:
    """End the tasks among these that are not over; all that exist, as they are then.

    One that is cancelling already is left to the reconciler, which asks its node again.
    """
    settled: dict[int, Task] = {}
    waiting = list(ids)
    for _ in range(TRIES_MAX):
        found = [task for task in await world.store.get(waiting) if task is not None]
        settled |= {task.id: task for task in found}
        now = world.clock.now()
        swaps = [
            Swap(task, cancelled(task, by="", now=now, reason=reason))
            for task in found
            if task.state not in TERMINAL and task.state is not State.CANCELLING
        ]
        if not swaps:
            break
        written = await world.store.swap(swaps)
        reached("cancel.all_written")
        done = [swap.new for swap, ok in zip(swaps, written, strict=True) if ok]
        settled |= {task.id: task for task in done}
        if world.onlooker is not None:
            world.onlooker(done)
        world.bus.tasks_changed([task.id for task in done])
        _tell(world, done)
        await _stop_all(world, done)
        waiting = [swap.old.id for swap, ok in zip(swaps, written, strict=True) if not ok]
    return list(settled.values())


def _tell(world: World, tasks: Sequence[Task]) -> None:
    """Let what these tasks are part of, or what is part of them, go on."""
    news = [task for task in tasks if task.parts is not None or (task.origin is not None and task.state in TERMINAL)]
    if news:
        world.ended.extend(news)
        world.bus.work_waits()


async def _stop_all(world: World, tasks: Sequence[Task]) -> None:
    here: defaultdict[str, list[Task]] = defaultdict(list)
    elsewhere: defaultdict[str, list[int]] = defaultdict(list)
    for task in tasks:
        if task.state is State.CANCELLING and task.parts is None:
            if world.fleet.seat(task.node) is None:
                elsewhere[task.node].append(task.id)
            else:
                here[task.node].append(task)
    for node, ids in elsewhere.items():
        world.bus.node_changed(node, ids)
    for node, held in here.items():
        await world.links.cancel(node, held)


async def stop_held(world: World, task: Task) -> None:
    """Ask the node that holds a task to stop it, by way of the server it is connected to."""
    if world.fleet.seat(task.node) is None:
        world.bus.node_changed(task.node, [task.id])
    else:
        await world.links.cancel(task.node, [task])
