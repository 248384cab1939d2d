"""What follows from a write: hints are filed and lookers-on are woken. A crash before it costs delay, never work."""

from collections.abc import Sequence

from anchor.core.task import State, Task
from anchor.failpoints import reached
from anchor.orchestrator.world import World
from anchor.ports.ready import Hint


async def hint(world: World, tasks: Sequence[Task]) -> None:
    """Tell the ready queue about tasks that are queued, or will be when their backoff is over."""
    if tasks:
        await world.ready.push(
            [Hint(task.id, task.spec.priority, lane_of(task.owner, task.shape), _rests_until(task)) for task in tasks]
        )
        reached("relay.hinted")
        world.bus.work_waits()


def lane_of(owner: str, shape: str) -> str:
    """What hints are filed under: apart by owner, so that none waits behind all of another's."""
    return f"{owner}\n{shape}"


def of_lane(lane: str) -> tuple[str, str]:
    """The owner and the shape of a lane."""
    owner, _, shape = lane.rpartition("\n")
    return owner, shape


def _rests_until(task: Task) -> int:
    return (task.wake_at or 0) if task.state is State.BACKOFF else 0
