"""The live link at /live: Socket.IO connections, who they are, and the rooms they are in."""

import asyncio
import contextlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import socketio
import structlog
from socketio.exceptions import ConnectionRefusedError as Refused

from anchor.core.access import Principal, Role, may
from anchor.core.errors import AnchorError, Forbidden, InvalidRequest, NotFound, TooManyRequests, Unauthenticated
from anchor.core.ids import key_of
from anchor.ports.store import UnknownOutcome
from anchor.server.desk import Desk
from anchor.server.gate import address_of
from anchor.server.http import headers_of
from anchor.server.live.flow import Flows
from anchor.server.live.lists import AppsView, CasesView, EventsView, FleetView
from anchor.server.live.overview import CountsView, WatchView
from anchor.server.live.register import Register
from anchor.server.live.rooms import Member, Room, View
from anchor.server.live.single import AppView, NodeView, RunView, TaskView
from anchor.server.live.visit import Visit, visit_of
from anchor.server.sessions import refuse_other_origins
from anchor.wire.live import ROOM_LENGTH_MAX, Joined, Left, Paused, Refusal, Resumed

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

log = structlog.get_logger("anchor.live")
CLIENTS_MAX = 1_000
CLIENTS_PER_ADDRESS_MAX = 100
"""Callers on this machine, as a reverse proxy is, count in the total only."""
CLIENTS_PER_NAME_MAX = 100
"""Of whoever shows keys of this name, or is signed in with them: nobody holds every place alone."""
ROOMS_PER_CLIENT_MAX = 32
UNREAD_BYTES_MAX = 64 * 1024
"""Whoever has more to read is sent no frames. Less is no sign of anything: rooms often speak in the same moment."""
PING_SECONDS = 2.0
PONG_SECONDS = 10.0
"""How long a page may take to answer a ping: one that is hidden on a busy machine is slow, not gone."""
CHECK_SECONDS = 5.0
"""How often it is looked whether a client's key is still good; of what is revoked here it is told at once."""
LOOPBACK = frozenset({"127.0.0.1", "::1"})
ROLES = {
    "watch": Role.VIEWER,
    "tasks": Role.VIEWER,
    "fleet": Role.VIEWER,
    "apps": Role.VIEWER,
    "cases": Role.VIEWER,
    "events": Role.OPERATOR,
    "task": Role.VIEWER,
    "run": Role.VIEWER,
    "app": Role.VIEWER,
    "node": Role.VIEWER,
}
"""The least role that may be in a room: that of the same picture over REST."""


OVER = Refusal("", "over", "The server has hung up on this client.", "Connect again.")


class Json:
    """The JSON that Socket.IO packets are made of."""

    JSONDecodeError = json.JSONDecodeError

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        """A value as JSON."""
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str, **_: Any) -> Any:
        """A value from JSON."""
        return msgspec.json.decode(text)


@dataclass(eq=False)
class Client:
    """Somebody connected, let in by what `scope` and `headers` say, and what is to be sent there."""

    principal: Principal
    visit: Visit
    headers: dict[str, str]
    member: Member = field(init=False)

    @property
    def owner(self) -> str | None:
        """Whose tasks it may see: its own, or (None) everybody's."""
        return self.principal.name if self.principal.role is Role.SUBMITTER else None


class Live:
    """The ASGI application at /live. `waits` is how long tasks waited lately."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._flows = Flows(desk.world)
        self.waits = self._flows.waits
        self._register = Register(desk.world)
        self._rooms: dict[tuple[str, str | None], Room] = {}
        self._clients: dict[str, Client] = {}
        self._visits: dict[Visit, None] = {}
        self._addresses: Counter[str] = Counter()
        self._io = socketio.AsyncServer(
            async_mode="asgi",
            transports=["websocket"],
            json=Json,
            async_handlers=False,
            monitor_clients=True,
            cors_allowed_origins="*",  # `__call__` refuses every origin but our own
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            logger=False,
            engineio_logger=False,
        )
        for name, handler in (
            ("connect", self._connect), ("disconnect", self._disconnect), ("join", self._join),
            ("leave", self._leave), ("pause", self._pause), ("resume", self._resume),
        ):  # fmt: skip
            self._io.on(name, handler)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Serve one connection."""
        address = address_of(scope)
        crowded = address not in LOOPBACK and self._addresses[address] >= CLIENTS_PER_ADDRESS_MAX
        try:
            refuse_other_origins(headers_of(scope), self._desk.gate.own_url)
        except Forbidden:
            await send({"type": "websocket.close", "code": 4403})
            return
        if crowded or self._desk.stopping.is_set() or not self._has_room():
            await send({"type": "websocket.close", "code": 4429})
            return
        visit = Visit(scope, receive, send)
        self._visits[visit] = None
        self._addresses[address] += 1
        try:
            await visit.run(self._io.handle_request)
        finally:
            self._visits.pop(visit, None)
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def _has_room(self) -> bool:
        """Whether one more may come. Strangers keep nobody out: if need be, whoever has been here longest without
        saying who it is has to go."""
        if len(self._visits) < CLIENTS_MAX:
            return True
        stranger = next((visit for visit in self._visits if not visit.greeted), None)
        if stranger is not None:
            stranger.stop("crowded", "Too many connect at once, and this one did not say who it is.", retry_seconds=5.0)
            del self._visits[stranger]
        return stranger is not None

    def close(self) -> None:
        """Hang up on everybody: the server stops."""
        for visit in list(self._visits):
            visit.stop("server_stopping", "The server is stopping.", "Connect again.", 1.0)
        for room in list(self._rooms.values()):
            room.end()

    async def watch(self) -> None:
        """Look after who may still be here, for ever."""
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_SECONDS):
                        await self._desk.keys_changed.wait()
                self._desk.keys_changed.clear()
                for sid, client in list(self._clients.items()):
                    if not await self._may_stay(client):
                        self._forget(sid)
        finally:
            await self._io.shutdown()

    async def _may_stay(self, client: Client) -> bool:
        try:
            now = await self._desk.gate.admit((Role.VIEWER,), client.visit.scope, client.headers)
        except (Unauthenticated, Forbidden) as error:
            client.visit.stop("unauthenticated", error.message, "Sign in again.")
            return False
        except (AnchorError, UnknownOutcome):
            return True  # the store is away, or the key asks too much: neither says anything about the key
        if now != client.principal:
            client.visit.stop("role_changed", f"{now.name} is {now.role} now.", "Connect again.", 0.0)
        return now == client.principal

    async def _connect(self, sid: str, environ: dict[str, Any], auth: dict[str, Any] | None) -> None:
        visit = visit_of(environ)
        headers = headers_of(visit.scope)
        if auth is not None and auth.get("token"):
            headers["authorization"] = f"Bearer {auth['token']}"
        try:
            principal = await self._desk.gate.admit((Role.VIEWER,), visit.scope, headers)
            self._refuse_more_of(principal)
        except AnchorError as error:
            visit.hang_up_soon()
            raise Refused(error.message, Refusal("", error.code, error.message, error.hint)) from None
        client = Client(principal, visit, headers)

        async def send(event: str, data: Any) -> None:
            await self._io.emit(event, data, to=sid)

        client.member = Member(lambda: visit.waiting_bytes <= UNREAD_BYTES_MAX, send)
        self._clients[sid] = client
        visit.greeted = True

    def _refuse_more_of(self, who: Principal) -> None:
        if sum(client.principal.name == who.name for client in self._clients.values()) >= CLIENTS_PER_NAME_MAX:
            raise TooManyRequests(
                f"{who.name} has {CLIENTS_PER_NAME_MAX} live links here, and may have no more.",
                hint="Close some (tabs, scripts), join several rooms on one link, or use a key of another name.",
                code="too_many_clients",
            )

    async def _disconnect(self, sid: str, _: str) -> None:
        client = self._forget(sid)
        if client is not None:
            client.visit.hang_up()

    def _forget(self, sid: str) -> Client | None:
        client = self._clients.pop(sid, None)
        if client is not None:
            for name in list(client.member.rooms):
                self._let_out(client, name)
        return client

    async def _join(self, sid: str, wish: dict[str, str]) -> Joined | Refusal:
        client = self._clients.get(sid)
        return OVER if client is None else await self._let_in(client, wish["room"])

    async def _let_in(self, client: Client, name: str) -> Joined | Refusal:
        rooms = client.member.rooms
        try:
            if name not in rooms and len(rooms) >= ROOMS_PER_CLIENT_MAX:
                raise InvalidRequest(
                    f"A client may be in {ROOMS_PER_CLIENT_MAX} rooms.", hint="Leave one first.", code="too_many_rooms"
                )
            room = rooms[name] = self._room(client, name)
            return await room.show(client.member)
        except AnchorError as error:
            refusal = Refusal(name[:ROOM_LENGTH_MAX], error.code, error.message, error.hint)
        except UnknownOutcome as error:
            refusal = Refusal(name[:ROOM_LENGTH_MAX], "unknown_outcome", str(error), "Try again.")
        self._let_out(client, name)
        return refusal

    def _let_out(self, client: Client, name: str) -> None:
        room = client.member.rooms.pop(name, None)
        if room is not None:
            room.hide(client.member)

    async def _leave(self, sid: str, wish: dict[str, str]) -> Left | Refusal:
        client = self._clients.get(sid)
        if client is None:
            return OVER
        self._let_out(client, wish["room"])
        return Left(wish["room"][:ROOM_LENGTH_MAX])

    async def _pause(self, sid: str) -> Paused | Refusal:
        client = self._clients.get(sid)
        if client is None:
            return OVER
        for room in client.member.rooms.values():
            room.hide(client.member)
        return Paused()

    async def _resume(self, sid: str) -> Resumed | Refusal:
        client = self._clients.get(sid)
        if client is None:
            return OVER
        return Resumed([await self._let_in(client, name) for name in list(client.member.rooms)])

    def _room(self, client: Client, name: str) -> Room:
        """The room of this name as this client may see it."""
        kind, _, about = name.partition(":")
        needed = ROLES.get(kind)
        if needed is None or len(name) > ROOM_LENGTH_MAX or (kind in _ABOUT) != bool(about):
            raise NotFound(
                f"There is no room {name[:ROOM_LENGTH_MAX]!r}.",
                hint=f"Join {', '.join(f'{one}:ID' if one in _ABOUT else one for one in ROLES)}.",
                code="no_such_room",
            )
        if not may(client.principal.role, needed):
            raise Forbidden(
                f"This takes the role {needed}; {client.principal.name} is {client.principal.role}.",
                hint=f"Ask an admin for a key with the role {needed}.",
            )
        owner = client.owner
        room = self._rooms.get((name, owner))
        if room is None:
            view = self._view(kind, about, owner)

            def emptied(room: Room) -> None:
                if self._rooms.get((name, owner)) is room:
                    del self._rooms[name, owner]

            room = self._rooms[name, owner] = Room(name, view, self._desk.world.clock, emptied)
        return room

    def _view(self, kind: str, about: str, owner: str | None) -> View:
        desk, world = self._desk, self._desk.world
        match kind:
            case "watch":
                return WatchView(world, self._flows, self._register, owner)
            case "tasks":
                return CountsView(world, self._flows, owner)
            case "fleet":
                return FleetView(world, self._register)
            case "apps":
                return AppsView(desk, owner)
            case "cases":
                return CasesView(world, owner)
            case "events":
                return EventsView(world)
            case "task":
                return TaskView(desk, key_of("task", about), owner)
            case "run":
                return RunView(desk, key_of("dag", about), owner)
            case "app":
                return AppView(desk, about, owner)
            case _:
                return NodeView(world, about)


_ABOUT = frozenset({"task", "run", "app", "node"})
"""Rooms about one thing, which is named after a colon."""
