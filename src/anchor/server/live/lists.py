"""Rooms about many things of a kind: nodes, apps, cases and the audit trail."""

import asyncio
import time
from collections.abc import Iterable, Sequence

from anchor.core.app import App
from anchor.core.ids import wire_id
from anchor.core.node import Node, Status, is_connected
from anchor.orchestrator.fleet import Seat
from anchor.orchestrator.world import World
from anchor.server import app_views
from anchor.server.desk import Desk
from anchor.server.live.register import Register
from anchor.server.live.rooms import LOOK_SECONDS, TICK_SECONDS, Picture, View
from anchor.server.routes.audit import entry_view
from anchor.server.verdicts import case_row
from anchor.wire.live import CASES_SHOWN, EVENTS_SHOWN, Apps, Cases, Events, Fleet, FleetNode
from anchor.wire.rest import AuditEntry

CHANGES_PER_SECOND = 2_000
"""Nodes that a room tells of: where a thousand change all the time, each is told of twice a second."""


class FleetView(View):
    """Every node, each second; in between, those connected here of which something was heard, or what they hold is
    more or less."""

    def __init__(self, world: World, register: Register) -> None:
        self._world = world
        self._register = register
        self._nodes: Sequence[Node] = ()
        self._seen: dict[str, tuple[Node, int] | None] = {}
        self._shown: dict[str, FleetNode] = {}
        self._changed = 0

    async def turn(self) -> None:
        """Wait longer the more changed."""
        await asyncio.sleep(max(TICK_SECONDS, self._changed / CHANGES_PER_SECOND))

    async def whole(self) -> Fleet:
        """Every node."""
        if not self._shown:
            await self.news()
        return Fleet(list(self._shown.values()))

    async def news(self) -> Fleet | None:
        """The nodes that are not as before."""
        nodes = await self._register.nodes()
        is_due, self._nodes = nodes is not self._nodes, nodes
        now = self._world.clock.now()
        changed: list[FleetNode] = []
        for node in nodes:
            seat = self._world.fleet.seat(node.id)
            seen = None if seat is None else (seat.record, len(seat.held))
            if not is_due and _is_same(seen, self._seen[node.id]):
                continue
            self._seen[node.id] = seen
            shown = _one(node, seat, now)
            if self._shown.get(node.id) != shown:
                self._shown[node.id] = shown
                changed.append(shown)
        self._changed = len(changed)
        return Fleet(changed) if changed else None


def _is_same(one: tuple[Node, int] | None, other: tuple[Node, int] | None) -> bool:
    """Whether a seat is as it was. Records are never changed, only replaced: comparing what is in them costs more."""
    if one is None or other is None:
        return one is other
    return one[0] is other[0] and one[1] == other[1]


def _one(node: Node, seat: Seat | None, now: int) -> FleetNode:
    if seat is not None and seat.record.ver > node.ver:
        node = seat.record
    status = node.status.value
    if node.status is Status.READY:
        status = "online" if is_connected(node, now=now) else "offline"
    active = len(seat.held) if seat is not None else None
    return FleetNode(node.id, status, active, node.slots, round(node.metrics.cpu_usage), _trouble(node))


def _trouble(node: Node) -> str:
    if any(not dissent.forgiven for dissent in node.dissents):
        return "flagged"
    return "failing" if node.metrics.trouble or any(not crash.explained for crash in node.crashes) else ""


class AppsView(View):
    """Every app, or those of one owner, as this server remembers them."""

    def __init__(self, desk: Desk, owner: str | None) -> None:
        self._desk = desk
        self._owner = owner
        self._shown: dict[int, App] | None = None

    async def whole(self) -> Apps:
        """Every app."""
        if self._shown is None:
            self._shown = self._now()
        return self._view(self._shown.values(), ())

    async def news(self) -> Apps | None:
        """The apps that are not as before."""
        before, now = self._shown or {}, self._now()
        self._shown = now
        changed = [app for key, app in now.items() if before.get(key) is not app]
        gone = before.keys() - now.keys()
        return self._view(changed, gone) if changed or gone else None

    def _now(self) -> dict[int, App]:
        return {app.id: app for app in self._desk.world.apps.all() if self._owner in (None, app.owner)}

    def _view(self, apps: Iterable[App], gone: Iterable[int]) -> Apps:
        return Apps([app_views.row(app, self._desk) for app in apps], [wire_id("app", key) for key in gone])


class CasesView(Picture):
    """The newest cases."""

    def __init__(self, world: World, owner: str | None) -> None:
        self._world = world
        self._owner = owner
        self._looked_at = -LOOK_SECONDS

    async def look(self) -> Cases:
        """The newest cases; nobody tells of one, so they are looked at each second."""
        if self._shown is not None and time.monotonic() - self._looked_at < LOOK_SECONDS:
            shown: Cases = self._shown
            return shown
        self._looked_at = time.monotonic()
        found = await self._world.store.cases_page(below=None, limit=CASES_SHOWN, owner=self._owner)
        return Cases([case_row(case) for case in found])


class EventsView(View):
    """The audit trail as it grows."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._newest = 0
        self._looked_at = -LOOK_SECONDS
        self._shown: list[AuditEntry] | None = None

    async def whole(self) -> Events:
        """The newest entries."""
        if self._shown is None:
            self._shown = []
            await self.news()
        return Events(self._shown)

    async def news(self) -> Events | None:
        """The entries that came since."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return None
        self._looked_at = time.monotonic()
        tail = await self._world.store.audit_tail()
        if tail is None or tail.number == self._newest:
            return None
        page = await self._world.store.audit_page(None, EVENTS_SHOWN)
        new = [entry_view(entry) for entry in page if entry.number > self._newest]
        self._newest = page[0].number
        self._shown = [*new, *(self._shown or [])][:EVENTS_SHOWN]
        return Events(new)
