"""When a node goes down with what it ran: whether the task or the node is to blame, by all that is known of both."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

from anchor.core.node import Node, crashed, pardoned, proven
from anchor.core.task import Task, nodes_taken_down
from anchor.failpoints import reached
from anchor.orchestrator.world import World

TRIES_MAX = 8


async def blame(world: World, node: str, session: int, tasks: Sequence[Task]) -> None:
    """A session of a node ended with these tasks under way, as settled.

    A task that took down other nodes too is to blame itself, here and there. What a crash of this server leaves
    unwritten is one piece of evidence less; no task depends on it.
    """
    reached("blame.node")
    elsewhere: defaultdict[str, list[int]] = defaultdict(list)
    for task in tasks:
        for other in nodes_taken_down(task.attempts):
            if other != node:
                elsewhere[other].append(task.id)
    explained = bool(elsewhere)
    ids = [task.id for task in tasks]
    await _change(world, node, lambda old: crashed(old, session=session, tasks=ids, explained=explained))
    for other, with_it in elsewhere.items():
        await _change(world, other, partial(pardoned, tasks=with_it))


async def praise(world: World, node: str) -> None:
    """A node brought something to its end: its row of crashes is broken."""
    await _change(world, node, proven)


async def _change(world: World, node: str, change: Callable[[Node], Node]) -> None:
    for _ in range(TRIES_MAX):
        old = await world.store.node(node)
        if old is None or (new := change(old)) is old:
            return
        if await world.store.swap_node(old, new):
            reached("blame.written")
            seat = world.fleet.seat(node)
            if seat is not None:
                seat.see(new)
            if new.status is not old.status:
                world.bus.node_changed(node)
                world.bus.work_waits()
            return
