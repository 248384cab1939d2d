"""The agent's second connection: byte streams from the server to the ports of the apps that this node hosts."""

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from anchor.agent.pauses import Pauses
from anchor.agent.trust import trusted
from anchor.core.errors import AnchorError
from anchor.wire.tunnel import MESSAGE_BYTES_READ_MAX, Stream, Target, TunnelBroken, TunnelEnd

log = structlog.get_logger("anchor.agent")
OPEN_SECONDS = 10.0
PING_SECONDS = 20.0
UNSENT_BYTES = 128 * 1024
CONNECT_SECONDS = 10.0
"""How long an app may take to accept a connection before the stream is refused."""


class Hosts(Protocol):
    """What a tunnel needs of the replicas on this node."""

    async def connect(self, app_id: int, generation: int) -> socket.socket:
        """A connection to the port of exactly this generation of exactly this app; AnchorError or OSError where there
        is none to be had."""

    def streams(self, app_id: int, generation: int, delta: int) -> None:
        """So many streams more lead to a generation of an app."""


class Tunnel:
    """Keeps the connection at `url`/tunnel while it is wanted. `token` is asked for the bearer of the session that is
    open, "" where there is none."""

    def __init__(self, url: str, hosts: Hosts, token: Callable[[], str]) -> None:
        self._url = url
        self._hosts = hosts
        self._token = token
        self._pauses = Pauses()
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()

    def want(self, is_wanted: bool) -> None:
        """Open the tunnel, or close it: it is of use only while something here is routed to."""
        if is_wanted:
            self._wanted.set()
            self._unwanted.clear()
        else:
            self._wanted.clear()
            self._unwanted.set()

    async def run(self) -> None:
        """Stay connected, whenever that is wanted, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            opened = loop.time()
            try:
                if not self._token():
                    await asyncio.sleep(0.05)
                    continue
                await self._open()
            except (OSError, ConnectionClosed, InvalidHandshake, InvalidURI, TimeoutError, TunnelBroken) as error:
                log.info("the tunnel is closed", url=self._url, error=str(error) or type(error).__name__)
            lasted = loop.time() - opened
            await asyncio.sleep(self._pause(lasted))

    def _pause(self, lasted: float) -> float:
        # Apps are out of reach meanwhile: it comes back sooner than the control link, which loses nothing by waiting.
        return min(self._pauses.after_session(lasted) / 4, 10.0)

    async def _open(self) -> None:
        address = "ws" + self._url.removeprefix("http") + "/tunnel"
        async with connect(
            address,
            additional_headers={"Authorization": f"Bearer {self._token()}"},
            compression=None,
            max_size=MESSAGE_BYTES_READ_MAX,
            open_timeout=OPEN_SECONDS,
            close_timeout=1,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            proxy=None,
            ssl=trusted() if address.startswith("wss:") else None,
        ) as connection:
            _queue_little(connection)
            log.info("the tunnel is open", url=self._url)
            await _Line(connection, self._hosts).serve(self._unwanted)


def _queue_little(connection: ClientConnection) -> None:
    """Have the system refuse more than it can send soon: what waits here can still be overtaken by another stream."""
    connected = connection.transport.get_extra_info("socket")
    if connected is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


class _Line:
    """One connection, and the streams on it."""

    def __init__(self, connection: ClientConnection, hosts: Hosts) -> None:
        self._connection = connection
        self._wake = asyncio.Event()
        self._end = TunnelEnd(self._wake.set, self._opened)
        self._hosts = hosts
        self._connecting: set[asyncio.Task[None]] = set()

    async def serve(self, unwanted: asyncio.Event) -> None:
        """Carry bytes both ways until the connection breaks or nobody wants it."""
        steps = [asyncio.create_task(step) for step in (self._read(), self._write(), _wait(unwanted))]
        try:
            done, _ = await asyncio.wait(steps, return_when=asyncio.FIRST_COMPLETED)
            for step in done:
                step.result()
        finally:
            self._end.lose()
            steps += self._connecting
            for step in steps:
                step.cancel()
            await asyncio.gather(*steps, return_exceptions=True)

    async def _read(self) -> None:
        receive, end = self._connection.recv, self._end.receive
        while True:
            message = await receive()
            if isinstance(message, str):
                raise TunnelBroken("text where messages are binary")
            end(message)

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while message := self._end.next_message():
                await self._connection.send(message)

    def _opened(self, stream: Stream, target: Target) -> "_Pump":
        pump = _Pump(stream, self._hosts, target)
        task = asyncio.create_task(self._connect(pump, stream, target))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return pump

    async def _connect(self, pump: "_Pump", stream: Stream, target: Target) -> None:
        try:
            if target.node:
                raise ConnectionRefusedError("an agent passes nothing on")
            async with asyncio.timeout(CONNECT_SECONDS):
                connected = await self._hosts.connect(target.app, target.generation)
        except (AnchorError, OSError, TimeoutError) as error:
            stream.refuse(error.code if isinstance(error, AnchorError) else "not_connected")
            return
        if not stream.is_open:
            connected.close()
            return
        connected.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: pump, sock=connected)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


class _Pump(asyncio.Protocol):
    """Between a stream and the connection to a replica: what either end does not take, the other may not send."""

    def __init__(self, stream: Stream, hosts: Hosts, target: Target) -> None:
        self._stream = stream
        self._hosts = hosts
        self._target = target
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._is_ended = False
        self._has_ended = False
        self._is_paused = False
        self._unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The replica has accepted: say so, and hand over what came before."""
        self._transport = transport
        self._hosts.streams(self._target.app, self._target.generation, 1)
        if not self._stream.is_open:
            transport.abort()
            return
        self._stream.accept()
        early, self._early = self._early, []
        for content in early:
            self.data(content)
        if self._is_ended:
            self.ended()

    def data_received(self, data: bytes) -> None:
        """From the replica."""
        if not self._stream.write(data):
            assert self._transport is not None
            self._transport.pause_reading()

    def drained(self) -> None:
        """The tunnel has taken what the replica sent."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """The replica sends no more; it may still read."""
        self._stream.end()
        self._has_ended = True
        return not self._is_ended

    def data(self, content: bytes) -> None:
        """To the replica."""
        if self._transport is None:
            self._early.append(content)
            return
        self._transport.write(content)
        if self._is_paused:
            self._unread += len(content)
        else:
            self._stream.consumed(len(content))

    def pause_writing(self) -> None:
        """The replica does not read."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """It reads again."""
        self._is_paused = False
        unread, self._unread = self._unread, 0
        if unread:
            self._stream.consumed(unread)

    def ended(self) -> None:
        """Nothing more for the replica."""
        self._is_ended = True
        if self._transport is None or self._transport.is_closing():
            return
        if self._has_ended:
            self._transport.close()
        else:
            self._transport.write_eof()

    def reset(self, code: str) -> None:
        """The other end gave up."""
        self.lost()

    def lost(self) -> None:
        """The tunnel is gone."""
        if self._transport is not None:
            self._transport.abort()

    def accepted(self) -> None:
        """Never said to this end."""

    def refused(self, code: str) -> None:
        """Never said to this end."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Of the replica."""
        self._hosts.streams(self._target.app, self._target.generation, -1)
        if exc is None:
            self._stream.end()
        else:
            self._stream.reset("connection_lost")
