"""A TCP proxy that misbehaves when told to: drop, delay, one-way cut, half-open, reset."""

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

CHUNK_BYTES = 65_536
CONNECT_SECONDS = 2.0


class Fault(StrEnum):
    """What can be wrong with a network. `up` is the direction from the caller to the one called."""

    DROP = "drop"
    """Connections open and nothing ever arrives; when it is over they are reset."""
    DELAY = "delay"
    """Everything arrives, late."""
    CUT_UP = "cut up"
    CUT_DOWN = "cut down"
    """One direction stands still, and goes on where it was when the fault is over."""
    CALLER_GONE = "half-open, caller gone"
    CALLED_GONE = "half-open, called gone"
    """One end of every connection is gone, and the other is never told."""
    RESET = "reset"
    """Every connection there is breaks off at once, on both ends."""


LASTING = (Fault.DROP, Fault.DELAY, Fault.CUT_UP, Fault.CUT_DOWN)
_STANDING = {"up": Fault.CUT_UP, "down": Fault.CUT_DOWN}


class Proxy:
    """Listens on a free port of the loopback and passes connections on to one of `targets`, each in its turn."""

    def __init__(self, targets: Sequence[int]) -> None:
        self._targets = list(targets)
        self._turn = itertools.count()
        self._fault: Fault | None = None
        self._delay_seconds = 0.0
        self._changed = asyncio.Condition()
        self._connections: set[_Connection] = set()
        self._running: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and break off what is open."""
        if self._server is not None:
            self._server.close()
        await self.heal()
        await self.begin(Fault.RESET)
        await asyncio.gather(*self._running)

    async def begin(self, fault: Fault, *, delay_seconds: float = 0.0) -> None:
        """Be faulty: until `heal` if the fault lasts, else once."""
        if fault in LASTING:
            await self._become(fault, delay_seconds)
            return
        for connection in list(self._connections):
            connection.half_open = fault is not Fault.RESET
            if fault is not Fault.CALLED_GONE:
                _reset(connection.caller)
            if fault is not Fault.CALLER_GONE:
                _reset(connection.called)

    async def heal(self) -> None:
        """Be a good network again; connections that lost bytes are reset."""
        for connection in [one for one in self._connections if one.lost_bytes]:
            _reset(connection.called)
            _reset(connection.caller)
        await self._become(None, 0.0)

    async def _become(self, fault: Fault | None, delay_seconds: float) -> None:
        async with self._changed:
            self._fault, self._delay_seconds = fault, delay_seconds
            self._changed.notify_all()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._connect(reader, writer)
        finally:
            self._running.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called = await self._call()
        if called is None:
            _reset(writer)
            return
        connection = _Connection(writer, called[1])
        self._connections.add(connection)
        try:
            await asyncio.gather(
                self._pump(connection, "up", reader, called[1]), self._pump(connection, "down", called[0], writer)
            )
        finally:
            _reset(writer)
            _reset(called[1])
            self._connections.discard(connection)

    async def _call(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        first = next(self._turn)
        for at in range(len(self._targets)):
            port = self._targets[(first + at) % len(self._targets)]
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection("127.0.0.1", port)
        return None

    async def _pump(
        self, connection: "_Connection", way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await self._wait_while(_STANDING[way])
                if self._fault is Fault.DROP:
                    connection.lost_bytes = True
                if connection.lost_bytes or connection.half_open:
                    continue
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                writer.write(chunk)
                await writer.drain()
            await self._wait_while(_STANDING[way])
            if not connection.half_open:
                writer.write_eof()
        except OSError:
            if not connection.half_open:
                _reset(writer)

    async def _wait_while(self, fault: Fault) -> None:
        if self._fault is fault:
            async with self._changed:
                await self._changed.wait_for(lambda: self._fault is not fault)


class _Connection:
    """Two sockets that belong together: to the caller, and to the one called."""

    def __init__(self, caller: asyncio.StreamWriter, called: asyncio.StreamWriter) -> None:
        self.caller = caller
        self.called = called
        self.lost_bytes = False
        self.half_open = False


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST: the other end gets an error, no goodbye."""
    line: socket.socket | None = writer.get_extra_info("socket")
    if line is not None and line.fileno() >= 0:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
