"""A port of this machine that leads to an app: both ways, in turn, and refused in words where it cannot be had."""

import asyncio
import contextlib
import errno
import hashlib
import os
import socket
from collections.abc import AsyncIterator

import pytest
from tests.agent.stage_of_apps import free_port

from anchor.agent.apps import local_ports
from anchor.agent.apps.local_ports import LocalPorts, PortRefused

MIB = 1024 * 1024


class Echo:
    """An app that answers with its name and all it was sent, once it was sent all."""

    def __init__(self, name: bytes) -> None:
        self._name = name

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = await reader.read()
        writer.write(self._name + content)
        await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[socket.socket]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=theirs)
        answering = asyncio.create_task(self.answer(reader, writer))
        try:
            yield ours
        finally:
            await answering


@contextlib.asynccontextmanager
async def gone() -> AsyncIterator[socket.socket]:
    raise OSError("it has just ended")
    yield


async def asked(port: int, content: bytes, host: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(content)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.anyio
async def test_large_bodies_pass_both_ways_and_an_end_is_passed_on() -> None:
    ports, port = LocalPorts(), free_port()
    content = os.urandom(8 * MIB)
    async with ports.claimed(port, 1, "demo") as held:
        held.serving[1] = Echo(b"1:").opened
        answer = await asked(port, content)
        assert len(answer) == len(content) + 2
        assert hashlib.sha256(answer[2:]).digest() == hashlib.sha256(content).digest()
    with pytest.raises(ConnectionRefusedError):
        await asked(port, b"")


@pytest.mark.anyio
async def test_those_that_serve_take_turns_and_one_that_is_gone_is_passed_over() -> None:
    ports, port = LocalPorts(), free_port()
    async with ports.claimed(port, 1, "demo") as held, ports.claimed(port, 1, "demo") as again:
        assert held is again
        assert await asked(port, b"") == b"", "nobody serves yet"
        held.serving |= {1: Echo(b"1").opened, 2: gone, 3: Echo(b"3").opened}
        assert {await asked(port, b"") for _ in range(6)} == {b"1", b"3"}
        if socket.has_ipv6:
            with contextlib.suppress(OSError):
                assert await asked(port, b"", "::1") in (b"1", b"3")


@pytest.mark.anyio
async def test_a_port_that_cannot_be_had_is_refused_in_words() -> None:
    ports = LocalPorts()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(PortRefused) as refused:
            async with ports.claimed(taken.getsockname()[1], 1, "demo"):
                pass
        assert refused.value.reason.code == "port_in_use"
    port = free_port()
    async with ports.claimed(port, 1, "first"):
        with pytest.raises(PortRefused, match="that of the app first"):
            async with ports.claimed(port, 2, "second"):
                pass
    reason = local_ports._refusal(80, OSError(errno.EACCES, "Permission denied"))
    assert reason.code == "port_forbidden"
    assert "from 1024 on" in reason.hint
    async with ports.claimed(port, 2, "second"):
        pass  # free again
