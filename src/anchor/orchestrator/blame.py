"""Who is to blame, the task or the node, by all that is known of both; and what rounds found of those who voted."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial

from anchor.core.attempt import Ending
from anchor.core.node import Finding, Node, Status, absolved, at_fault, crashed, found, pardoned, proven
from anchor.core.task import Task, nodes_taken_down
from anchor.failpoints import reached
from anchor.orchestrator.audit import note
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


async def count_faults(world: World, node: str, endings: Sequence[Ending]) -> None:
    """Count what went wrong on a node by whose fault it was; what a crash leaves unwritten is one count less."""
    await _change(world, node, partial(at_fault, ended=endings))


async def rate(world: World, findings: Sequence[Finding]) -> None:
    """Write down what decided rounds found of the answers of nodes: one write a node, and each finding once."""
    by_node: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_node[finding.node].append(finding)
    for node, its in by_node.items():
        await _change(world, node, partial(found, findings=its, now=world.clock.now()))


async def absolve(world: World, nodes: Collection[str], cases: Collection[int]) -> None:
    """Take back what these nodes were accused of in these cases."""
    for node in nodes:
        await _change(world, node, partial(absolved, cases=cases, now=world.clock.now()))


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
                await _note_status(world, new)
            return


async def _note_status(world: World, node: Node) -> None:
    if node.status is Status.QUARANTINED and node.reason is not None:
        await note(world, kind="node_quarantined", subject=node.id, message=node.reason.message, by="network")
    else:
        message = f"{node.id} is {node.status} again: what it was accused of is explained."
        await note(world, kind="node_resumed", subject=node.id, message=message, by="network")
