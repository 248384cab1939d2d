"""One page's connection: what comes in is checked and counted, what goes out waits up to a bound."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from anchor.server.live.packets import Auth, NotUnderstood, read
from anchor.wire.live import Stop

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

PACKET_CHARS_MAX = 256 * 1024
WAITING_BYTES_MAX = 1024 * 1024
PACKETS_PER_SECOND = 20.0
PACKETS_BURST = 100.0
CONNECT_SECONDS = 5.0
"""How long a connection may take to say who it is."""
FLUSH_SECONDS = 2.0
"""How long what is queued may take to be read once the server hangs up."""
REFUSED_SECONDS = 0.2
_CLOSED: "Message" = {"type": "websocket.disconnect", "code": 1001}
_encode = msgspec.json.Encoder().encode

NOT_WELL_BEHAVED = "This is for pages of this server; see what travels in the module anchor.wire.live."
Engine = Callable[["Scope", "Receive", "Send"], Awaitable[object]]


class Visit:
    """An ASGI WebSocket with bounds, between the server and the Socket.IO engine.

    `waiting_bytes` is queued and was not yet taken by the network; `greeted` once it said who it is.
    """

    def __init__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        self.scope: Scope = {**scope, "anchor.visit": self}
        self.waiting_bytes = 0
        self.greeted = False
        self._receive = receive
        self._send = send
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._outbox: deque[str] = deque()
        self._wake = asyncio.Event()
        self._over = asyncio.Event()
        self._accepted = asyncio.Event()
        self._tokens = PACKETS_BURST
        self._counted_at = time.monotonic()
        self._said_who = False

    async def run(self, engine: Engine) -> None:
        """Serve it until either side has enough."""
        inside = asyncio.ensure_future(engine(self.scope, self._inbox.get, self._take))
        pump = asyncio.create_task(self._pump())
        reader = asyncio.create_task(self._read())
        late = asyncio.get_running_loop().call_later(CONNECT_SECONDS, self._too_late)
        try:
            over = asyncio.create_task(self._over.wait())
            await asyncio.wait({inside, reader, pump, over}, return_when=asyncio.FIRST_COMPLETED)
            self.hang_up()
            await asyncio.wait({pump}, timeout=FLUSH_SECONDS)
            await inside
        finally:
            late.cancel()
            for task in (inside, pump, reader, over):
                task.cancel()
            await asyncio.gather(inside, pump, reader, over, return_exceptions=True)

    def stop(self, code: str, message: str, hint: str = NOT_WELL_BEHAVED, retry_seconds: float | None = None) -> None:
        """Say why, then hang up."""
        if not self._over.is_set():
            if code == "slow_reader":
                self._outbox.clear()
                self.waiting_bytes = 0
            stop = Stop(code, message, hint, retry_seconds)
            self._queue(f'42["stop",{_encode(stop).decode()}]')
            self.hang_up()

    def hang_up(self) -> None:
        """Send what is queued, then close."""
        if not self._over.is_set():
            self._over.set()
            self._wake.set()
            self._inbox.put_nowait(_CLOSED)

    def hang_up_soon(self) -> None:
        """Hang up once the engine has said what it is about to say."""
        asyncio.get_running_loop().call_later(REFUSED_SECONDS, self.hang_up)

    def _too_late(self) -> None:
        if not self.greeted:
            self.stop("connect_deadline", f"Nobody said who this is within {CONNECT_SECONDS:g} seconds.")

    async def _take(self, message: "Message") -> None:
        """What the engine sends."""
        if message["type"] == "websocket.send":
            if not self._over.is_set():
                self._queue(message["text"])
        elif message["type"] == "websocket.accept":
            await self._send(message)
            self._accepted.set()
        else:
            if not self._accepted.is_set():  # a request that is none of Socket.IO's
                await self._send({"type": "websocket.close", "code": 1002})
            self.hang_up()

    def _queue(self, text: str) -> None:
        self._outbox.append(text)
        self.waiting_bytes += len(text)
        self._wake.set()
        if self.waiting_bytes > WAITING_BYTES_MAX:
            self.stop("slow_reader", "More than 1 MiB waited to be read.", "Join fewer rooms, or read faster.", 5.0)

    async def _pump(self) -> None:
        await self._accepted.wait()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                text = self._outbox.popleft()
                await self._send({"type": "websocket.send", "text": text})
                self.waiting_bytes -= min(len(text), self.waiting_bytes)
            if self._over.is_set():
                await self._send({"type": "websocket.close", "code": 1000})
                return

    async def _read(self) -> None:
        self._inbox.put_nowait(await self._receive())
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                self.stop("binary", "Binary frames are not taken.")
            elif len(text) > PACKET_CHARS_MAX:
                self.stop("too_large", f"A frame may have {PACKET_CHARS_MAX // 1024} KiB.")
            elif not self._has_token():
                self.stop("flood", f"More than {PACKETS_PER_SECOND:g} packets a second.", retry_seconds=30.0)
            elif not self._is_in_order(text):
                self.stop("not_understood", "A packet was not understood.")
            else:
                self._inbox.put_nowait(message)
                continue
            return

    def _has_token(self) -> bool:
        now = time.monotonic()
        self._tokens = min(PACKETS_BURST, self._tokens + (now - self._counted_at) * PACKETS_PER_SECOND)
        self._counted_at = now
        self._tokens -= 1
        return self._tokens >= 0

    def _is_in_order(self, text: str) -> bool:
        try:
            packet = read(text)
        except NotUnderstood:
            return False
        if isinstance(packet, Auth):
            first, self._said_who = not self._said_who, True
            return first
        return packet is None or self.greeted


def visit_of(environ: dict[str, Any]) -> Visit:
    """The visit behind what the engine calls the environment of a connection."""
    visit = environ["asgi.scope"]["anchor.visit"]
    assert isinstance(visit, Visit)
    return visit
