"""What follows from a task's end: the run, the list or the round it is part of goes on."""

from collections.abc import Sequence

from anchor.core.errors import Unavailable
from anchor.core.items import Items
from anchor.core.task import TERMINAL, Task
from anchor.core.verification import Round
from anchor.failpoints import reached
from anchor.orchestrator import graphs, items, rounds
from anchor.orchestrator.world import World
from anchor.ports.store import UnknownOutcome

BATCH_MAX = 500
"""Ended tasks that are looked at together."""


async def follow(world: World) -> int:
    """Carry on what the tasks in `world.ended` are part of, until none is left; says how many they were.

    A head that its items or copies end is put there in its turn. While the store cannot be reached they stay; whatever
    else is lost here, by a crash or a fault, is derived from the store again by the sweeps of graphs, items and rounds.
    """
    followed = 0
    while world.ended:
        batch = [world.ended.popleft() for _ in range(min(len(world.ended), BATCH_MAX))]
        reached("follow.taken")
        try:
            await _carry_on(world, batch)
        except (Unavailable, UnknownOutcome):
            world.ended.extendleft(reversed(batch))
            raise
        followed += len(batch)
    return followed


async def _carry_on(world: World, batch: Sequence[Task]) -> None:
    """Each head is looked at once, whatever number of its items or copies ended; so is each run.

    A head that somebody wants stopped stands for itself: its parts are to be stopped.
    """
    lists: dict[int, None] = {}
    votes: dict[int, None] = {}
    steps: list[Task] = []
    for task in batch:
        if task.state not in TERMINAL:
            if isinstance(task.parts, Items):
                lists[task.id] = None
            elif isinstance(task.parts, Round):
                votes[task.id] = None
        elif task.origin is not None and task.origin.head:
            (votes if task.origin.is_copy else lists)[task.origin.head] = None
        elif task.origin is not None and task.origin.run:
            steps.append(task)
    if lists:
        await items.gather(world, list(lists), batch)
    if votes:
        await rounds.tally(world, list(votes))
    if steps:
        await graphs.advance(world, steps)
