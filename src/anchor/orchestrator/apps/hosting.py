"""Nodes are told what to run: all of it, each time, so that no message has to arrive."""

from collections.abc import Iterable

from anchor.orchestrator.apps.refresh import reread
from anchor.orchestrator.world import World


async def tell(world: World, nodes: Iterable[str]) -> None:
    """Tell those of the nodes that are connected here, and host apps, all that they are to run."""
    here = _hosts(world, nodes)
    if here and not (world.sole_writer and world.apps.loaded):
        # Told from an old memory, or from none yet, a node would stop what was placed there.
        here |= _hosts(world, await reread(world))
    for node in sorted(here):
        seat = world.fleet.seat(node)
        if seat is not None:
            world.apps.told_at[node] = world.clock.now()
            await world.links.host(node, seat.session, world.apps.on(node))


def _hosts(world: World, nodes: Iterable[str]) -> set[str]:
    seats = [world.fleet.seat(node) for node in nodes]
    return {seat.node for seat in seats if seat is not None and "apps" in seat.profile.features}
