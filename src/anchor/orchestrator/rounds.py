"""Rounds of verification: what the copies of a task answered is counted, decided once, and carried out."""

from collections.abc import Collection

from anchor.core.task import State
from anchor.core.verification import Round
from anchor.orchestrator.world import World

PAGE = 500


async def tally(world: World, heads: Collection[int]) -> None:
    """Look again at these verified tasks, because a copy of theirs ended."""
    for head in await world.store.get(sorted(heads)):
        if head is not None and isinstance(head.parts, Round):
            world.bus.tasks_changed([head.id])


async def sweep(world: World, now: int) -> None:
    """Look again at verified tasks that are due, so that any hint or server may be lost."""
    due = await world.store.due(State.VERIFYING, now, PAGE)
    await tally(world, [task.id for task in due])
