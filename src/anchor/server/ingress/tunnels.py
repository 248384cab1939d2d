"""The tunnels of the nodes that are connected to this server, and the endpoint at which they connect."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from anchor.core.access import Role
from anchor.core.errors import AnchorError
from anchor.core.node import Status
from anchor.server.desk import Desk
from anchor.server.gate import bearer
from anchor.wire.tunnel import MESSAGE_BYTES_READ_MAX, Sink, Stream, Target, TunnelBroken, TunnelEnd

log = structlog.get_logger("anchor.ingress")
SEND_SECONDS = 20.0
"""How long a node may leave a message unread before its tunnel is cut."""
FRAMES_PER_SECOND_MAX = 60_000
"""What a node may send; a thousand requests a second are about five thousand."""
FRAMES_AT_ONCE = 500
"""After so many others have their turn: a message may hold tens of thousands."""
LOOK_AGAIN_SECONDS = 5.0
"""How often it is asked whether a node is still one that may have a tunnel."""
CLOSE_SECONDS = 2.0


class TunnelLine:
    """A tunnel over a socket: a node's, or one of another server, which opens streams (`on_open`)."""

    def __init__(self, node: str, socket: WebSocket, on_open: Callable[[Stream, Target], Sink] | None = None) -> None:
        self.node = node
        self.over = asyncio.Event()
        self._socket = socket
        self._wake = asyncio.Event()
        self._end = TunnelEnd(self._wake.set, on_open)
        self._frames_before = 0
        self._sending_since = float("inf")

    def open(self, app: int, generation: int, sink: Sink) -> Stream | None:
        """A stream to a replica on this node; None where it has too many."""
        return None if self._end.is_full else self._end.open(Target(app, generation), sink)

    async def serve(self) -> None:
        """Carry messages both ways until the tunnel breaks or is cut."""
        steps = [asyncio.create_task(step) for step in (self._read(), self._write(), self._cut())]
        try:
            done, _ = await asyncio.wait(steps, return_when=asyncio.FIRST_COMPLETED)
            for step in done:
                step.result()
        except TunnelBroken as error:
            log.warning("a node broke the rules of its tunnel; cutting it", node=self.node, message=str(error))
        except (WebSocketDisconnect, RuntimeError):
            pass  # hung up, by either end
        finally:
            self._end.lose()
            for step in steps:
                step.cancel()
            await asyncio.gather(*steps, return_exceptions=True)

    async def _read(self) -> None:
        receive, take = self._socket.receive, self._end.receive
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            content = message.get("bytes")
            if content is None or len(content) > MESSAGE_BYTES_READ_MAX:
                raise TunnelBroken("text, or a message that is too large")
            at = take(content, 0, FRAMES_AT_ONCE)
            while at < len(content):
                await asyncio.sleep(0)
                at = take(content, at, FRAMES_AT_ONCE)

    async def _write(self) -> None:
        send = self._socket.send_bytes
        while True:
            await self._wake.wait()
            self._wake.clear()
            while message := self._end.next_message():
                self._sending_since = time.monotonic()
                await send(message)
                self._sending_since = float("inf")

    async def _cut(self) -> None:
        await self.over.wait()

    def look(self, now: float, seconds: float) -> None:
        """Cut a tunnel whose node does not read, or sends more frames than anybody needs."""
        frames = self._end.frames - self._frames_before
        self._frames_before = self._end.frames
        if now - self._sending_since > SEND_SECONDS:
            log.warning("a node does not read; cutting its tunnel", node=self.node)
            self.over.set()
        elif frames > FRAMES_PER_SECOND_MAX * max(seconds, 1.0):
            log.warning("a node floods its tunnel; cutting it", node=self.node, frames=frames)
            self.over.set()


class Way(Protocol):
    """A way to a node."""

    def open(self, app: int, generation: int, sink: Sink) -> Stream | None:
        """A stream to a replica on it; None where there are too many."""


class Tunnels:
    """Every tunnel of this server, one a node. `far` are the ways to nodes whose tunnel another server has."""

    def __init__(self) -> None:
        self._lines: dict[str, TunnelLine] = {}
        self.far: Mapping[str, Way] = {}

    def here(self, node: str) -> TunnelLine | None:
        """A node's tunnel, if it has one here."""
        return self._lines.get(node)

    def of(self, node: str) -> Way | None:
        """The way to a node, if there is any."""
        return self._lines.get(node) or self.far.get(node)

    def connect(self, line: TunnelLine) -> None:
        """A new tunnel; an older one of the same node is cut."""
        older = self._lines.get(line.node)
        if older is not None:
            older.over.set()
        self._lines[line.node] = line

    def disconnect(self, line: TunnelLine) -> None:
        """Forget a tunnel, unless another has its place."""
        if self._lines.get(line.node) is line:
            del self._lines[line.node]

    def look(self, now: float, seconds: float) -> None:
        """Cut those that misbehave; `seconds` have passed since this was last asked."""
        for line in list(self._lines.values()):
            line.look(now, seconds)

    @property
    def nodes(self) -> list[str]:
        """The nodes that have a tunnel."""
        return list(self._lines)

    def close(self) -> None:
        """Cut them all."""
        for line in list(self._lines.values()):
            line.over.set()


class TunnelLink:
    """The ASGI application at `/tunnel`: a node's agent, known by the token of its session."""

    def __init__(self, desk: Desk, tunnels: Tunnels) -> None:
        self._desk = desk
        self._tunnels = tunnels

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one tunnel until its end."""
        socket = WebSocket(scope, receive, send)
        node = await self._who(socket)
        if node is None:
            await socket.close()
            return
        await socket.accept()
        line = TunnelLine(node, socket)
        self._tunnels.connect(line)
        log.info("tunnel open", node=node)
        allowed = asyncio.create_task(self._while_allowed(line))
        try:
            await line.serve()
        finally:
            allowed.cancel()
            self._tunnels.disconnect(line)
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await socket.close(1000)
            log.info("tunnel closed", node=node)

    async def _who(self, socket: WebSocket) -> str | None:
        token = bearer(socket.headers)
        if "origin" in socket.headers or token is None or not self._desk.ready:
            return None
        try:
            principal = await self._desk.gate.identify(token)
        except AnchorError:
            return None
        return principal.name if principal.role is Role.NODE else None

    async def _while_allowed(self, line: TunnelLine) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            with contextlib.suppress(AnchorError):  # a store that cannot be read says nothing about the node
                node = await self._desk.world.store.node(line.node)
                if node is None or node.status is Status.BLOCKED:
                    line.over.set()
