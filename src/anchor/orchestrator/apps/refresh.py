"""What this server remembers of apps is brought up to date with the truth."""

from collections.abc import Collection

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
        app = await world.store.app(app_id)
        nodes |= world.apps.drop(app_id) if app is None else world.apps.keep(app)
    if ANY_APP in ids:
        world.apps.loaded = True
        world.apps.refreshed_at = world.clock.now()
    return nodes
