"""What is written in one turn of the event loop travels together, and to nobody where the other end has gone."""

import asyncio
import socket
from typing import Any

import pytest
import uvloop

from anchor.server.gathering import Gathering

PATIENCE_SECONDS = 20.0


class Ends(asyncio.Protocol):
    """Tells when the connection is over."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    def connection_lost(self, error: Exception | None) -> None:
        self.over.set()


async def _written(loop: asyncio.AbstractEventLoop, *, gone: bool) -> tuple[bytes, list[dict[str, Any]]]:
    """What the other end, which may have gone before, gets of two writes; and what the loop complains of."""
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    here, there = socket.socketpair()
    there.setblocking(False)
    transport, ends = await loop.create_connection(Ends, sock=here)
    gathering = Gathering(transport, loop)
    async with asyncio.timeout(PATIENCE_SECONDS):
        if gone:
            transport.abort()
            await ends.over.wait()
        gathering.write(b"head ")
        gathering.write(b"body")
        await asyncio.sleep(0)
        got = await loop.sock_recv(there, 100)
    gathering.close()
    there.close()
    return got, complaints


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.SelectorEventLoop])
@pytest.mark.parametrize(("gone", "gets"), [(False, b"head body"), (True, b"")])
def test_an_answer_travels_whole_or_not_at_all(new_loop: Any, gone: bool, gets: bytes) -> None:
    loop = new_loop()
    try:
        assert loop.run_until_complete(_written(loop, gone=gone)) == (gets, [])
    finally:
        loop.close()
