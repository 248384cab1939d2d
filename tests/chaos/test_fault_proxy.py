"""The proxy of chaos: it passes everything on, and each fault is what its name says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from tests.chaos.proxy import LASTING, Fault, Proxy

SOON = 0.3
LIMIT = 10.0
pytestmark = pytest.mark.anyio


class Echo:
    """A server that sends back what it gets; `ended` is set when a caller goes."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.got = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(1000):
                self.got += chunk
                writer.write(chunk)
        self.ended.set()
        writer.close()


class Line:
    """A caller's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def says(self, text: bytes) -> bytes:
        self.writer.write(text)
        return await asyncio.wait_for(self.reader.readexactly(len(text)), LIMIT)

    async def is_silent(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(1), SOON) is None
        except TimeoutError:
            return True

    async def breaks(self) -> bool:
        with suppress(ConnectionResetError):
            return await asyncio.wait_for(self.reader.read(1), LIMIT) == b""
        return True


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    made = Proxy([server.sockets[0].getsockname()[1]])
    await made.open()
    yield made
    await made.close()
    server.close()


@pytest.fixture
async def line(proxy: Proxy) -> AsyncIterator[Line]:
    line = Line(*await asyncio.open_connection("127.0.0.1", proxy.port))
    assert await line.says(b"hello") == b"hello"
    yield line
    line.writer.transport.abort()


async def test_a_reset_breaks_both_ends(proxy: Proxy, line: Line, echo: Echo) -> None:
    await proxy.begin(Fault.RESET)
    assert await line.breaks()
    await asyncio.wait_for(echo.ended.wait(), LIMIT)


@pytest.mark.parametrize("fault", [Fault.CUT_UP, Fault.CUT_DOWN])
async def test_a_cut_way_stands_still_and_goes_on_where_it_was(
    proxy: Proxy, line: Line, echo: Echo, fault: Fault
) -> None:
    await proxy.begin(fault)
    line.writer.write(b"late")
    assert await line.is_silent()
    assert (echo.got == b"hellolate") == (fault is Fault.CUT_DOWN)
    await proxy.heal()
    assert await asyncio.wait_for(line.reader.readexactly(4), LIMIT) == b"late"


async def test_what_is_dropped_never_arrives_and_the_line_breaks_when_it_is_over(
    proxy: Proxy, line: Line, echo: Echo
) -> None:
    await proxy.begin(Fault.DROP)
    line.writer.write(b"lost")
    assert await line.is_silent()
    await proxy.heal()
    assert await line.breaks()
    assert echo.got == b"hello"


async def test_what_is_delayed_arrives_late(proxy: Proxy, line: Line) -> None:
    await proxy.begin(Fault.DELAY, delay_seconds=SOON)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await line.says(b"slow") == b"slow"
    assert loop.time() - began >= 2 * SOON


async def test_when_the_called_end_is_gone_the_caller_hears_nothing(proxy: Proxy, line: Line, echo: Echo) -> None:
    await proxy.begin(Fault.CALLED_GONE)
    await asyncio.wait_for(echo.ended.wait(), LIMIT)
    line.writer.write(b"anybody?")
    assert await line.is_silent()


async def test_when_the_caller_is_gone_the_called_end_hears_nothing(proxy: Proxy, line: Line, echo: Echo) -> None:
    await proxy.begin(Fault.CALLER_GONE)
    assert await line.breaks()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(echo.ended.wait(), SOON)


@pytest.mark.parametrize("fault", LASTING)
async def test_a_healed_proxy_is_as_good_as_new(proxy: Proxy, fault: Fault) -> None:
    await proxy.begin(fault, delay_seconds=SOON)
    await proxy.heal()
    line = Line(*await asyncio.open_connection("127.0.0.1", proxy.port))
    assert await line.says(b"hello") == b"hello"
    line.writer.transport.abort()
