"""A user ends a task: at once where nobody holds it, by way of its node where somebody does."""

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
            world.bus.tasks_changed([task.id])
            if task.origin is not None and task.state in TERMINAL:
                world.ended.append(task)
                world.bus.work_waits()
        if task.state is State.CANCELLING:
            await stop_held(world, task)
        reached("cancel.asked")
        return task
    raise Unavailable("The task changed too often to cancel it.", hint="Try again.", retry_after_seconds=1)


async def stop_held(world: World, task: Task) -> None:
    """Ask the node that holds a task to stop it, by way of the server it is connected to."""
    if world.fleet.seat(task.node) is None:
        world.bus.node_changed(task.node, [task.id])
    else:
        await world.links.cancel(task.node, [task])
