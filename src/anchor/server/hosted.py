"""What a node says of the replicas it has, made fit to be believed and taken in."""

import re
from typing import Final

from msgspec.structs import replace

from anchor.failpoints import reached
from anchor.orchestrator.apps.observe import observed
from anchor.orchestrator.world import World
from anchor.server.lines import Line
from anchor.wire.link import Hosted, Nack, ReplicaStatus

_DIGEST: Final = re.compile("[0-9a-f]{64}")


async def take_in(world: World, line: Line, frame: Hosted) -> None:
    """Take in what a node has, and what it could not be told of. A lock counts once its blob is here."""
    if frame.session != line.node.session:
        line.send(Nack("It is of another session."))
        return
    named = {one.lock for one in frame.items if one.lock}
    digests = {lock for lock in named if _DIGEST.fullmatch(lock)}
    missing = set(await world.blobs.missing(digests)) | (named - digests) if named else set()
    items = [replace(one, lock="") if one.lock in missing else one for one in frame.items]
    now = world.clock.now()
    untold = [
        ReplicaStatus(app, generation, "failed", now, reason=reason)
        for (app, generation), reason in line.sealing.unreadable.items()
    ]
    await observed(world, line.node.id, line.node.session, [*items, *untold])
    reached("link.hosted")
