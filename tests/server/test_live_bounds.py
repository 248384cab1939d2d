"""Nobody on the live link costs the server much: what is not expected is cut off with a reason, what is not read waits
up to a bound."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from served import Served
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from anchor.core.access import Principal, Role
from anchor.server import sockets
from anchor.server.live import hub, visit
from anchor.server.live.visit import WAITING_BYTES_MAX, Visit
from anchor.server.sockets import BoundedSocket

PATIENCE_SECONDS = 30.0
JOIN = '421["join",{"room":"watch"}]'


@contextmanager
def raw(server: Served, **options: Any) -> Iterator[ClientConnection]:
    """A socket on which anything can be sent."""
    address = f"ws{server.url.removeprefix('http')}/live/?EIO=4&transport=websocket"
    with connect(address, proxy=None, max_size=None, **options) as link:
        assert str(link.recv(timeout=PATIENCE_SECONDS)).startswith("0{")
        yield link


def greeted(link: ClientConnection) -> None:
    link.send("40")
    assert str(link.recv(timeout=PATIENCE_SECONDS)).startswith("40{")


def last_words(link: ClientConnection) -> str:
    """The code of the reason given before the server hung up."""
    code = ""
    try:
        while True:
            text = str(link.recv(timeout=PATIENCE_SECONDS))
            if text.startswith('42["stop"'):
                code = json.loads(text[2:])[1]["code"]
    except ConnectionClosed:
        return code


@pytest.mark.parametrize(
    ("packets", "code"),
    [
        ([b"4"], "binary"),
        (["x" * (256 * 1024 + 1)], "too_large"),
        ([JOIN] * 300, "flood"),
        (['451-["join",{"_placeholder":true,"num":0}]'], "not_understood"),
        (['42["join",{"room":"watch"}]'], "not_understood"),
        (['421["join"]'], "not_understood"),
        (['421["join",{"room":1}]'], "not_understood"),
        (['421["pause",{"room":"watch"}]'], "not_understood"),
        (['421["shutdown",{}]'], "not_understood"),
        (["421" + "[" * 100_000], "not_understood"),
        (["40/admin,"], "not_understood"),
        (["40"], "not_understood"),
        (["2probe"], "not_understood"),
        (["\ud7ff"], "not_understood"),
        ([""], "not_understood"),
    ],
)
def test_what_no_page_sends_is_cut_off_with_a_reason(server: Served, packets: list[Any], code: str) -> None:
    with raw(server) as link:
        greeted(link)
        with suppress(ConnectionClosed):  # it may be cut off before the last of them
            for packet in packets:
                link.send(packet)
        assert last_words(link) == code
    assert server.is_well()


def test_nothing_is_heard_before_somebody_said_who_it_is(server: Served) -> None:
    with raw(server) as link:
        link.send(JOIN)
        assert last_words(link) == "not_understood"


def test_a_client_that_leaves_by_the_rules_is_let_go(server: Served) -> None:
    with raw(server) as link:
        greeted(link)
        link.send("41")
        assert last_words(link) == ""


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_site_gets_no_live_link(server: Served, origin: str) -> None:
    with pytest.raises(InvalidStatus, match="403"), raw(server, origin=Origin(origin)):
        pass


def test_a_page_of_this_server_does(server: Served) -> None:
    with raw(server, origin=Origin(server.url)) as link:
        greeted(link)


@pytest.mark.parametrize("query", ["", "?EIO=3&transport=websocket", "?EIO=4&transport=polling"])
def test_another_protocol_is_refused(server: Served, query: str) -> None:
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(f"ws{server.url.removeprefix('http')}/live/{query}", proxy=None),
    ):
        pass


class Wire:
    """The two ends of an ASGI WebSocket. While `stuck`, nobody reads what is sent."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.sent: list[Any] = []
        self.stuck = asyncio.Event()

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.send" and self.stuck.is_set():
            await asyncio.get_running_loop().create_future()
        self.sent.append(message)


@pytest.mark.anyio
async def test_a_reader_that_never_reads_costs_a_bounded_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "FLUSH_SECONDS", 0.05)
    wire = Wire()
    wire.stuck.set()
    one = Visit({"type": "websocket"}, wire.incoming.get, wire.send)
    most = 0

    async def engine(_: Any, receive: Any, send: Any) -> None:
        nonlocal most
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(1000):
            await send({"type": "websocket.send", "text": "x" * 64 * 1024})
            most = max(most, one.waiting_bytes)
            await asyncio.sleep(0)
        assert (await receive())["type"] == "websocket.disconnect"

    await asyncio.wait_for(one.run(engine), PATIENCE_SECONDS)
    assert 64 * 1024 < most <= WAITING_BYTES_MAX + 64 * 1024
    assert [message["type"] for message in wire.sent] == ["websocket.accept"]


@pytest.mark.anyio
async def test_who_does_not_say_who_it_is_in_time_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "CONNECT_SECONDS", 0.05)
    wire = Wire()

    async def engine(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    await asyncio.wait_for(Visit({"type": "websocket"}, wire.incoming.get, wire.send).run(engine), PATIENCE_SECONDS)
    assert "connect_deadline" in wire.sent[1]["text"]
    assert wire.sent[2]["type"] == "websocket.close"


@pytest.mark.anyio
async def test_strangers_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "CLIENTS_MAX", 2)

    async def admit(*_: Any) -> Principal:
        return Principal("somebody", Role.VIEWER)

    gate = SimpleNamespace(own_url="", admit=admit)
    live = hub.Live(SimpleNamespace(world=SimpleNamespace(), gate=gate, stopping=asyncio.Event()))  # type: ignore[arg-type]
    headers = [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]
    asked = {"path": "/live", "headers": headers, "query_string": b"EIO=4&transport=websocket"}
    scope = {"type": "websocket", "client": ("127.0.0.1", 1), **asked}

    async def come(says: str = "") -> tuple[Wire, asyncio.Task[None]]:
        wire = Wire()
        if says:
            wire.incoming.put_nowait({"type": "websocket.receive", "text": says})
        visit = asyncio.create_task(live(scope, wire.incoming.get, wire.send))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (  # noqa: ASYNC110 - nothing says when
                visit.done() or (any("40{" in str(one) for one in wire.sent) if says else wire.sent)
            ):
                await asyncio.sleep(0.01)
        return wire, visit

    known, here = await come("40")
    stranger, gone = await come()
    other, also_here = await come("40")
    await asyncio.wait_for(gone, PATIENCE_SECONDS)
    assert "crowded" in stranger.sent[-2]["text"]
    assert stranger.sent[-1]["type"] == "websocket.close"
    late, refused = await come()
    assert refused.done()
    assert late.sent == [{"type": "websocket.close", "code": 4429}], "nobody goes who said who it is"
    assert not here.done()
    assert not also_here.done()
    for wire in (known, other):
        wire.incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
    await asyncio.wait_for(asyncio.gather(here, also_here), PATIENCE_SECONDS)


@pytest.mark.anyio
async def test_a_socket_that_nobody_reads_is_cut_soon_after_it_was_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "LINGER_SECONDS", 0.2)
    over = asyncio.Event()

    async def serve(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "x" * 16_000_000})
        over.set()

    config = uvicorn.Config(serve, lifespan="off", ws=BoundedSocket, log_config=None)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname(), limit=1024)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await asyncio.wait_for(over.wait(), PATIENCE_SECONDS)
    assert len(server.server_state.connections) == 1  # its sixteen megabytes wait
    async with asyncio.timeout(PATIENCE_SECONDS):
        while server.server_state.connections:  # noqa: ASYNC110 - nothing says when
            await asyncio.sleep(0.02)
    writer.close()
    server.should_exit = True
    await serving
    listener.close()
    assert not reader.at_eof()
