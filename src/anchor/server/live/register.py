"""The nodes as the store has them, looked at once a second for all rooms together."""

import asyncio
import time
from collections.abc import Sequence

from anchor.core.node import Node
from anchor.orchestrator.world import World
from anchor.server.live.rooms import LOOK_SECONDS


class Register:
    """All nodes. Every owner has a room of its own about them, and reading a large fleet takes its time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = asyncio.Lock()
        self._nodes: Sequence[Node] = ()
        self._looked_at = -LOOK_SECONDS

    async def nodes(self) -> Sequence[Node]:
        """The nodes as they were a second ago at most: the same list until it was looked at again."""
        async with self._lock:
            if time.monotonic() - self._looked_at >= LOOK_SECONDS:
                self._nodes = await self._world.store.nodes()
                self._looked_at = time.monotonic()
            return self._nodes
