"""A task over a list: its items become tasks of their own, and their results in order become its result."""

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from anchor.core.attempt import Reason, Result
from anchor.core.dag import Again, Step
from anchor.core.errors import FailureCode
from anchor.core.task import State, Task
from anchor.orchestrator.world import World

PAGE = 500


async def listed(world: World, task: Task, step: Step, given: Mapping[str, Result], again: Again | None) -> Task:
    """The task of a parallel step as it is to enter. `given` are the results of what it waited for, by step id."""
    wrong = Reason(FailureCode.INVALID_PAYLOAD, f"Step {step.id!r} is parallel, which this server does not run.")
    return replace(task, state=State.FAILED, wake_at=None, finished_at=task.created_at, reason=wrong)


async def gather(world: World, heads: Collection[int]) -> None:
    """Look again at these waiting tasks, because an item of theirs ended or is to begin."""


async def sweep(world: World, now: int) -> None:
    """Look again at waiting tasks that are due, so that any hint or server may be lost."""
    await gather(world, [task.id for task in await world.store.due(State.WAITING, now, PAGE)])
