"""One app is brought one step on: its document rewritten by compare-and-set, and the nodes told what that means."""

from collections.abc import Callable

from msgspec.structs import replace

from anchor.core.app import App, Wanted
from anchor.core.app_placement import NodeFacts
from anchor.core.errors import Unavailable
from anchor.core.node import Node, Status, is_connected
from anchor.core.rollout import step
from anchor.failpoints import reached
from anchor.orchestrator.apps.hosting import tell
from anchor.orchestrator.apps.refresh import look_up
from anchor.orchestrator.world import World
from anchor.ports.store import UnknownOutcome

TRIES_MAX = 20


async def advance(world: World, app_id: int) -> App | None:
    """Do what is to be done about an app now; None where there is none (any more)."""
    return await rewrite(world, app_id, lambda app: app)


async def rewrite(world: World, app_id: int, change: Callable[[App], App]) -> App | None:
    """Change an app and do, in the same write, what follows from it; as it is then, or None where there is none.

    `change` is asked again with a newer document where somebody else was faster, and may raise.
    """
    app = world.apps.get(app_id)
    concerned: set[str] = set()
    if app is None:
        app, concerned = await look_up(world, app_id)
    for _ in range(TRIES_MAX):
        await tell(world, concerned)
        if app is None:
            return None
        now = max(world.clock.now(), app.changed_at)
        nodes = await nodes_for(world, app)
        new = step(change(app), nodes, now, patient=_is_early(world))
        if new is app:
            return app
        rests = replace(new, wake_at=app.wake_at) == app
        new = replace(new, ver=app.ver + 1, changed_at=app.changed_at if rests else now)
        try:
            written = await world.store.swap_app(app, new)
        except UnknownOutcome:
            world.apps.loaded = False  # the next sweep reads again what there is
            raise
        if written:
            reached("apps.written")
            known = world.apps.get(app_id)
            if known is not None and (known is app or known.ver < new.ver):  # else another change came after this one
                concerned = world.apps.keep(new)
            if not rests:
                world.bus.apps_changed([app_id])
            await tell(world, concerned)
            reached("apps.told")
            return await _removed(world, new) if new.wanted is Wanted.REMOVED and not new.replicas else new
        app, concerned = await look_up(world, app_id)
    raise Unavailable("The app changed too often.", hint="Try again.", retry_after_seconds=1)


async def _removed(world: World, app: App) -> App | None:
    """The end of an app that nobody wants and no node runs any more."""
    if await world.store.remove_app(app):
        reached("apps.removed")
        world.apps.drop(app.id)
        world.bus.apps_changed([app.id])
        return None
    return app


async def nodes_for(world: World, app: App) -> list[NodeFacts]:
    """The nodes as the placing of this app sees them."""
    now = world.clock.now()
    early = _is_early(world)
    return [_facts(world, node, app, now, early) for node in await world.store.nodes()]


def _facts(world: World, node: Node, app: App, now: int, early: bool) -> NodeFacts:
    seat = world.fleet.seat(node.id)
    if seat is not None and seat.record.ver > node.ver:
        node = seat.record
    hosts = "apps" in node.profile.features
    over = not is_connected(node, now=now)
    unfit = node.status is Status.BLOCKED or not hosts
    return NodeFacts(
        node=node,
        reached=not over,
        gone=unfit or (over and not early),
        silent=over and not early and not unfit,
        leaving=seat is not None and seat.leaving and not node.metrics.trouble,
        promised=world.apps.promised(node.id, beside=app.id),
    )


def _is_early(world: World) -> bool:
    """Whether this server may not have heard of nodes that are well: at its start, and after a standstill."""
    now = world.clock.now()
    return now < world.reap_after or now - world.swept_at > world.lease_ms // 2
