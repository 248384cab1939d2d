"""Apps are looked at again on a timer, whatever was lost: a message, a memory, a server; and when nodes come or go."""

from anchor.core.app import ReplicaState
from anchor.orchestrator.apps.advance import advance
from anchor.orchestrator.apps.hosting import tell
from anchor.orchestrator.apps.refresh import reread
from anchor.orchestrator.world import World

PAGE = 100
REFRESH_MS = 5_000
"""How long a change of another server that nobody told of may stay unseen."""
TELL_MS = 15_000
"""How often a node is told what to run though nothing changed."""


async def sweep(world: World, now: int) -> None:
    """Look at the apps that are due; called on a timer, after the reconciler's sweep."""
    if not world.apps.loaded or (not world.sole_writer and now - world.apps.refreshed_at >= REFRESH_MS):
        await tell(world, await reread(world))
    while due := await world.store.apps_due(now, PAGE):
        for app in due:
            known = world.apps.get(app.id)
            if known is None or known.ver != app.ver:
                await tell(world, await reread(world, [app.id]))
            await advance(world, app.id)
        if len(due) < PAGE:
            break
    if world.apps.freed:
        world.apps.freed = False
        for app in world.apps.all():
            if any(one.state is ReplicaState.UNPLACED for one in app.replicas):
                await advance(world, app.id)
    untold = [seat.node for seat in world.fleet.seats() if now - world.apps.told_at.get(seat.node, 0) >= TELL_MS]
    await tell(world, untold)


async def heard(world: World, ids: set[int]) -> None:
    """Another server changed apps: read them again, and tell the nodes connected here."""
    await tell(world, await reread(world, ids))


async def look_after(world: World, node: str) -> None:
    """A node came, goes, or was drained, blocked or taken back: tell it what to run, and see to the apps that run
    there or wait for a node."""
    if not world.apps.loaded:
        return  # the first sweep sees to all of them
    await tell(world, [node])
    for app in world.apps.all():
        if any(one.node == node or one.state in (ReplicaState.UNPLACED, ReplicaState.FAILED) for one in app.replicas):
            await advance(world, app.id)
