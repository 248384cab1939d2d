"""What follows from a write: hints are filed and lookers-on are woken. A crash before it costs delay, never work."""

from collections.abc import Sequence

from anchor.core.task import Task
from anchor.orchestrator.world import World
from anchor.ports.ready import Hint


async def hint(world: World, tasks: Sequence[Task]) -> None:
    """Tell the ready queue about queued tasks."""
    if tasks:
        await world.ready.push([Hint(task.id, task.spec.priority, task.shape) for task in tasks])
        world.bus.work_waits()
