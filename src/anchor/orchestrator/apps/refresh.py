"""What this server remembers of apps is brought up to date with the truth."""

from collections.abc import Collection

from anchor.core.app import App
from anchor.orchestrator.world import World
from anchor.ports.bus import ANY_APP


async def reread(world: World, ids: Collection[int] = (ANY_APP,)) -> set[str]:
    """Read the apps again that have another version now (of those named); the nodes that are to run something else."""
    versions = await world.store.app_versions() if ANY_APP in ids else dict.fromkeys(ids, 0)
    nodes: set[str] = set()
    known = {app.id: app.ver for app in world.apps.all()}
    for app_id in sorted(versions.keys() | known.keys() if ANY_APP in ids else versions.keys()):
        if known.get(app_id) == versions.get(app_id):
            continue
        nodes |= (await look_up(world, app_id))[1]
    if ANY_APP in ids:
        world.apps.loaded = True
        world.apps.refreshed_at = world.clock.now()
    return nodes


async def look_up(world: World, app_id: int) -> tuple[App | None, set[str]]:
    """An app as it is now, and the nodes that are to run something else than was remembered. What was remembered
    meanwhile was read or written later, and stays."""
    before = world.apps.get(app_id)
    app = await world.store.app(app_id)
    known = world.apps.get(app_id)
    if known is not before:
        return known, set()
    return app, world.apps.drop(app_id) if app is None else world.apps.keep(app)
