"""What a node's measuring says is written down: its speed, or that it did not tell the truth."""

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from anchor.core.node import Node
from anchor.failpoints import reached
from anchor.orchestrator.settle import TRIES_MAX
from anchor.orchestrator.world import World

MEASURE_AGAIN_MS = 6 * 3600 * 1000
"""How old a measurement may become before an idle node is asked again."""


def is_due(node: Node, now: int) -> bool:
    """Whether a node should be asked how fast it works."""
    return now - node.measured_at > MEASURE_AGAIN_MS


async def keep_speed(world: World, node: str, speed: float) -> None:
    """This is how fast the node works (see core.node.Node.speed)."""
    await _change(world, node, partial(_measured, speed=speed, now=world.clock.now()))


async def keep_lie(world: World, node: str) -> None:
    """The node claimed what cannot be: a fault of its own, and it counts as the slowest of all."""
    await _change(world, node, partial(_lied, now=world.clock.now()))


def _measured(old: Node, *, speed: float, now: int) -> Node:
    return replace(old, ver=old.ver + 1, speed=speed, measured_at=now)


def _lied(old: Node, *, now: int) -> Node:
    faults = {**old.faults, "node": old.faults.get("node", 0) + 1}
    return replace(old, ver=old.ver + 1, speed=0.0, measured_at=now, faults=faults)


async def _change(world: World, node: str, change: Callable[[Node], Node]) -> None:
    for _ in range(TRIES_MAX):
        old = await world.store.node(node)
        if old is None:
            return
        new = change(old)
        if await world.store.swap_node(old, new):
            reached("measure.written")
            seat = world.fleet.seat(node)
            if seat is not None:
                seat.see(new)
            return
