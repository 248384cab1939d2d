"""A TCP relay in front of MongoDB that reads the messages passing through and fails chosen writes in chosen ways."""

import asyncio
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import bson

WRITES = frozenset({"insert", "update", "delete"})
_HEADER = struct.Struct("<iiii")
_OP_MSG = 2013
_BODY = 21
"""Where the body of an OP_MSG begins: after the header, the flags and the kind of its first section."""


class Fault(StrEnum):
    """What becomes of one write."""

    REPLY_LOST = "carried out, then the reply is swallowed and the connection cut"
    NEVER_SENT = "the connection is cut before the request gets anywhere"
    HELD = "the connection is cut; the request gets there when `release` lets it"
    UNCONFIRMED = "carried out, but no majority confirmed it in time"
    STEPPED_DOWN = "not carried out: the primary is none any more"
    DISK_FULL = "not carried out: there is no space left"
    NOT_ALLOWED = "not carried out: this user may not"


ALL = tuple(fault for fault in Fault if fault not in (Fault.DISK_FULL, Fault.NOT_ALLOWED))
"""The faults after which a write has to be found out."""


@dataclass
class _Planned:
    fault: Fault
    meanwhile: Callable[[], Awaitable[object]] | None


class Relay:
    """Listens on a port of its own; `plan` says what becomes of the writes to come, one each."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self.port = 0
        self._planned: deque[_Planned | None] = deque()
        self._for_ever: Iterator[Fault | None] = iter(())
        self._held: list[tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._topology: object = None
        self.writes = 0

    async def start(self) -> None:
        """Listen; again on the same port after `stop`."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse new connections from now on."""
        self._server.close()

    async def stop(self) -> None:
        """Refuse new connections and cut the ones there are."""
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def __aenter__(self) -> "Relay":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def url_of(self, database: str) -> str:
        return f"mongodb://127.0.0.1:{self.port}/{database}?directConnection=true&serverMonitoringMode=poll"

    def plan(self, *faults: Fault | None, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
        """What becomes of the next writes (None: nothing is done to one).

        `meanwhile` happens before the client hears of the first fault.
        """
        for at, fault in enumerate(faults):
            self._planned.append(None if fault is None else _Planned(fault, meanwhile if at == 0 else None))

    def plan_for_ever(self, faults: Iterable[Fault | None]) -> None:
        """What becomes of all writes from now on, once nothing else is planned."""
        self._for_ever = iter(faults)

    async def release(self) -> None:
        """Let what was held get there; returns when MongoDB has answered it."""
        for message, reader, writer in self._held:
            writer.write(message)
            await _message(reader)
        self._held.clear()

    def _next_planned(self) -> _Planned | None:
        fault = next(self._for_ever, None)
        return None if fault is None else _Planned(fault, None)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        self._open |= {writer, up_writer}
        replies: asyncio.Queue[_Planned] = asyncio.Queue()
        answers = asyncio.create_task(self._answers(up_reader, writer, replies))
        try:
            await self._requests(reader, writer, up_reader, up_writer, replies)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side is gone: nothing more to pass on
        finally:
            answers.cancel()
            writer.close()
            if not any(held is up_writer for _, _, held in self._held):
                up_writer.close()
            self._tasks.discard(task)

    async def _requests(self, reader, writer, up_reader, up_writer, replies) -> None:
        while True:
            message = await _message(reader)
            command = _command(message)
            planned = None
            if command in WRITES:
                self.writes += 1
                planned = self._planned.popleft() if self._planned else self._next_planned()
            if planned is None:
                up_writer.write(message)
                continue
            match planned.fault:
                case Fault.REPLY_LOST | Fault.UNCONFIRMED:
                    replies.put_nowait(planned)
                    up_writer.write(message)
                case Fault.STEPPED_DOWN:
                    if planned.meanwhile is not None:
                        await planned.meanwhile()
                    # A version the driver knows already: otherwise it would wait for news of a real election.
                    refusal = {"ok": 0.0, "code": 10107, "errmsg": "not primary", "topologyVersion": self._topology}
                    writer.write(_reply_to(message, refusal))
                case Fault.DISK_FULL:
                    full = {"index": 0, "code": 14031, "errmsg": "no space left"}
                    writer.write(_reply_to(message, {"ok": 1.0, "n": 0, "nModified": 0, "writeErrors": [full]}))
                case Fault.NOT_ALLOWED:
                    writer.write(_reply_to(message, {"ok": 0.0, "code": 13, "errmsg": "not authorized"}))
                case Fault.NEVER_SENT | Fault.HELD:
                    if planned.fault is Fault.HELD:
                        self._held.append((message, up_reader, up_writer))
                    if planned.meanwhile is not None:
                        await planned.meanwhile()
                    return

    async def _answers(self, up_reader, writer, replies) -> None:
        try:
            while True:
                message = await _message(up_reader)
                if replies.empty():
                    self._topology = _body(message).get("topologyVersion", self._topology)
                    writer.write(message)
                    continue
                planned = replies.get_nowait()
                if planned.meanwhile is not None:
                    await planned.meanwhile()
                if planned.fault is Fault.REPLY_LOST:
                    writer.transport.abort()
                    return
                writer.write(_with(message, {"writeConcernError": {"code": 64, "errmsg": "waiting timed out"}}))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    header = await reader.readexactly(_HEADER.size)
    return header + await reader.readexactly(_HEADER.unpack(header)[0] - _HEADER.size)


def _command(message: bytes) -> str:
    return next(iter(_body(message)), "")


def _body(message: bytes) -> dict[str, object]:
    if _HEADER.unpack_from(message)[3] != _OP_MSG:
        return {}
    (size,) = struct.unpack_from("<i", message, _BODY)
    return bson.decode(message[_BODY : _BODY + size])


def _with(message: bytes, more: dict[str, object]) -> bytes:
    return _rebuilt(message[4:_BODY], _body(message) | more)


def _reply_to(request: bytes, document: dict[str, object]) -> bytes:
    _, request_id, _, _ = _HEADER.unpack_from(request)
    return _rebuilt(_HEADER.pack(0, 0, request_id, _OP_MSG)[4:] + bytes(5), document)


def _rebuilt(head: bytes, document: dict[str, object]) -> bytes:
    body = head + bson.encode(document)
    return struct.pack("<i", len(body) + 4) + body
