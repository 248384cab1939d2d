"""Rooms about all tasks: how many are in each state, and what is happening right now."""

import time

from anchor.core.node import Status, is_connected
from anchor.core.task import HELD, State
from anchor.orchestrator.world import World
from anchor.server.live.flow import Flow, Flows
from anchor.server.live.register import Register
from anchor.server.live.rooms import LOOK_SECONDS, Picture, View
from anchor.wire.live import Counts, Figures, Watch


class CountsView(Picture):
    """Tasks by state, looked at when something happened here, and every second for what happened elsewhere."""

    def __init__(self, world: World, flows: Flows, owner: str | None) -> None:
        self._world = world
        self._flows = flows
        self._owner = owner
        self._flow: Flow | None = None
        self._seen = 0
        self._seen_at = 0.0

    def open(self) -> None:
        """Somebody looks from now on."""
        self._flow = self._flows.open(self._owner)

    def close(self) -> None:
        """Nobody looks any more."""
        if self._flow is not None:
            self._flows.close(self._flow)
            self._flow, self._shown = None, None

    async def look(self) -> Counts:
        """Tasks by state."""
        now = time.monotonic()
        version = self._flow.version if self._flow is not None else 0
        if self._shown is not None and version == self._seen and now - self._seen_at < LOOK_SECONDS:
            shown: Counts = self._shown
            return shown
        self._seen, self._seen_at = version, now
        counts = await self._world.store.counts(self._owner)
        return Counts({str(state): count for state, count in counts.items()}, sum(counts.values()))


class WatchView(View):
    """How it is going: counts, figures and marks of what happens."""

    def __init__(self, world: World, flows: Flows, register: Register, owner: str | None) -> None:
        self._world = world
        self._flows = flows
        self._register = register
        self._owner = owner
        self._counts = CountsView(world, flows, owner)
        self._flow: Flow | None = None
        self._ended: dict[State, int] = {}
        self._online = self._nodes = 0
        self._looked_at = -LOOK_SECONDS
        self._shown: Watch | None = None

    def open(self) -> None:
        """Somebody looks from now on."""
        self._flow = self._flows.open(self._owner)
        self._counts.open()

    def close(self) -> None:
        """Nobody looks any more."""
        if self._flow is not None:
            self._flows.close(self._flow)
            self._flow, self._shown = None, None
        self._counts.close()

    async def whole(self) -> Watch:
        """How it is going, without marks."""
        if self._shown is None:
            self._shown = await self._look()
        return Watch(self._shown.counts, self._shown.figures, 0, [])

    async def news(self) -> Watch | None:
        """How it is going, where anything happened."""
        before = self._shown
        self._shown = now = await self._look()
        same = before is not None and (before.counts, before.figures) == (now.counts, now.figures)
        return None if same and not now.happened and not now.marks else now

    async def _look(self) -> Watch:
        counts = (await self._counts.look()).counts
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = time.monotonic()
            await self._look_around()
        happened, marks = await self._flow.take(self._world.store) if self._flow is not None else (0, [])
        figures = Figures(
            running=sum(counts.get(state, 0) for state in HELD),
            waiting=counts.get(State.QUEUED, 0) + counts.get(State.BACKOFF, 0),
            done=self._ended.get(State.SUCCEEDED, 0),
            failed=self._ended.get(State.FAILED, 0) + self._ended.get(State.INCONCLUSIVE, 0),
            median_wait_ms=self._flow.median_wait_ms() if self._flow is not None else None,
            online=self._online,
            nodes=self._nodes,
        )
        return Watch(counts, figures, happened, marks)

    async def _look_around(self) -> None:
        now = self._world.clock.now()
        self._ended = (await self._world.store.pulse(self._owner, now)).ended
        nodes = await self._register.nodes()
        self._nodes = len(nodes)
        self._online = sum(node.status is not Status.BLOCKED and is_connected(node, now=now) for node in nodes)
