"""Rooms about one thing: a task, a run, an app, a node."""

import asyncio
import time
from abc import abstractmethod
from contextlib import ExitStack
from typing import Any

from anchor.core.app_names import is_app_name
from anchor.core.errors import NotFound
from anchor.core.ids import key_of, wire_id
from anchor.orchestrator.world import World
from anchor.ports.bus import Watch
from anchor.server import app_views, run_views, views
from anchor.server.desk import Desk
from anchor.server.live.rooms import LOOK_SECONDS, TICK_SECONDS, Picture
from anchor.server.routes.dags import pause_after, seen_of
from anchor.server.veil import lifted
from anchor.wire.apps import AppView as ShownApp
from anchor.wire.dags import RunView as ShownRun
from anchor.wire.rest import NodeView as ShownNode
from anchor.wire.rest import TaskRow


class Hinted(Picture):
    """Something that the bus tells of; looked at each second all the same."""

    def __init__(self, world: World, key: int) -> None:
        self._world = world
        self._key = key
        self._open = ExitStack()
        self._watch: Watch | None = None
        self._pause = 0.0
        self._steps = 0

    def open(self) -> None:
        """Somebody looks from now on."""
        self._watch = self._open.enter_context(self._world.bus.watch_task(self._key))

    def close(self) -> None:
        """Nobody looks any more."""
        self._open.close()
        self._watch = self._shown = None

    async def turn(self) -> None:
        """Wait until there may be something new; longer after what took long."""
        await asyncio.sleep(max(TICK_SECONDS, self._pause))
        if self._watch is not None:
            await self._watch.changed(LOOK_SECONDS - TICK_SECONDS)

    async def look(self) -> Any:
        """It, as it is now."""
        began = time.monotonic()
        found = await self._find()
        self._pause = pause_after(time.monotonic() - began, self._steps)
        return found

    @abstractmethod
    async def _find(self) -> Any: ...


class TaskView(Hinted):
    """One task."""

    def __init__(self, desk: Desk, key: int, owner: str | None) -> None:
        super().__init__(desk.world, key)
        self._desk = desk
        self._owner = owner

    async def _find(self) -> TaskRow:
        [task] = await self._world.store.get([self._key])
        if task is None or self._owner not in (None, task.owner):
            raise _none("task", self._key)
        return views.row(await lifted(self._world.store, task), self._desk)


class RunView(Hinted):
    """One run of a graph, without its steps."""

    def __init__(self, desk: Desk, key: int, owner: str | None) -> None:
        super().__init__(desk.world, key)
        self._desk = desk
        self._owner = owner

    async def _find(self) -> ShownRun:
        run = await self._world.store.run(self._key)
        if run is None or self._owner not in (None, run.owner):
            raise _none("dag", self._key)
        self._steps = run.steps
        return await run_views.view(await seen_of(self._desk, run), self._desk, steps_max=0)


class AppView(Picture):
    """One app, by its id or its name, as this server remembers it."""

    def __init__(self, desk: Desk, about: str, owner: str | None) -> None:
        self._desk = desk
        self._about = about
        self._key = 0 if is_app_name(about) else key_of("app", about)
        self._owner = owner

    async def look(self) -> ShownApp:
        """The app, whole."""
        apps = self._desk.world.apps
        app = apps.get(self._key) if self._key else apps.named(self._about)
        if app is None or self._owner not in (None, app.owner):
            raise NotFound(f"There is no app {self._about}.", hint="List what there is: GET /api/clusters.")
        return app_views.view(app, self._desk)


class NodeView(Picture):
    """One node."""

    def __init__(self, world: World, node: str) -> None:
        self._world = world
        self._node = node
        self._looked_at = -LOOK_SECONDS
        self._found: Any = None

    async def look(self) -> ShownNode:
        """The node, from the store each second, and from its seat where that knows better."""
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._found = await self._world.store.node(self._node)
        if self._found is None:
            raise NotFound(f"There is no node {self._node!r}.", hint="List what there is: GET /api/nodes.")
        seat = self._world.fleet.seat(self._node)
        if seat is not None and seat.record.ver > self._found.ver:
            self._found = seat.record
        return views.node_view(self._found, self._world)


def _none(kind: str, key: int) -> NotFound:
    return NotFound(f"There is no {wire_id(kind, key)}.", hint=f"List what there is: GET /api/{kind}s.")
