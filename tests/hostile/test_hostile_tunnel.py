"""Nodes that break the rules of their tunnel, and callers that break those of HTTP: cut, bounded, and nobody else's."""

import asyncio
import contextlib
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from ingress_app import Site
from ingress_stand import Doors, Stand, a_node, a_port, a_stand

from anchor.server.ingress import forward, tunnels, upgrade
from anchor.wire import tunnel
from anchor.wire.tunnel import Kind, Target

ASK = b"GET %b HTTP/1.1\r\nHost: shop.apps.x\r\n\r\n"


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with a_stand() as found:
        yield found


@contextlib.asynccontextmanager
async def a_shop(stand: Stand) -> AsyncIterator[tuple[Site, Doors]]:
    """A neighbour that behaves: an app on a node of its own."""
    site, doors = Site("shop"), Doors()
    async with a_port(site.serve) as port, a_node(stand.url, "GOOD-1", doors):
        app = stand.app("shop", ("GOOD-1", 1))
        doors.ports[app.id, 1] = port
        await stand.reached("GOOD-1")
        yield site, doors


async def said_to(stand: Stand, *parts: bytes) -> bytes:
    """What the server answers to these bytes until it hangs up, or the second is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    found = b""
    try:
        with contextlib.suppress(TimeoutError, ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(1):
                while piece := await reader.read(65536):
                    found += piece
    finally:
        writer.close()
    return found


async def is_well(stand: Stand) -> bool:
    return (await said_to(stand, ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") % b"/ok")).endswith(b"/ok")


def a_tunnel(stand: Stand, node: str, **headers: str) -> connect:
    address = f"ws{stand.url.removeprefix('http')}/tunnel"
    given = {"Authorization": f"Bearer ancn_{node}"} | headers
    return connect(address, additional_headers=given, proxy=None, compression=None, close_timeout=1)


async def is_cut(socket: ClientConnection) -> bool:
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return True


@pytest.mark.anyio
async def test_only_an_agent_with_the_token_of_its_session_opens_a_tunnel(stand: Stand) -> None:
    for headers in ({"Authorization": "Bearer anc_key"}, {"Authorization": "none"}, {"Origin": "http://evil"}):
        with pytest.raises(InvalidStatus):
            async with a_tunnel(stand, "EVIL-1", **headers):
                pass
    assert stand.tunnels.nodes == []


@pytest.mark.anyio
async def test_a_node_that_breaks_the_rules_is_cut_and_nobody_else_notices(stand: Stand) -> None:
    stand.app("theirs", ("EVIL-1", 1))
    messages = [
        b"\x00",
        b"\xff" * 100,
        struct.pack("!BII", Kind.OPEN, 1, 3) + b"\x92\x01\x01",
        struct.pack("!BII", Kind.DATA, 77, 1) + b"x",
        struct.pack("!BII", Kind.CREDIT, 1, 0),
        struct.pack("!BII", Kind.DATA, 1, tunnel.WINDOW_BYTES + 1) + bytes(tunnel.WINDOW_BYTES + 1),
        bytes(tunnel.MESSAGE_BYTES_READ_MAX + 1),
        "text",
    ]
    async with a_shop(stand):
        for message in messages:
            async with a_tunnel(stand, "EVIL-1") as socket:
                await stand.reached("EVIL-1")
                asking = asyncio.create_task(said_to(stand, ASK.replace(b"shop", b"theirs") % b"/"))
                await socket.recv()
                await socket.send(message)
                assert await is_cut(socket)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        assert await is_well(stand)


@pytest.mark.anyio
async def test_a_node_that_never_answers_or_floods_is_bounded(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(tunnels, "FRAMES_PER_SECOND_MAX", 20_000)
    stand.app("theirs", ("EVIL-1", 1))
    async with a_shop(stand), a_tunnel(stand, "EVIL-1") as socket:
        await stand.reached("EVIL-1")
        asked = [asyncio.create_task(said_to(stand, ASK.replace(b"shop", b"theirs") % b"/")) for _ in range(20)]
        answers = await asyncio.gather(*asked)
        late = [one for one in answers if one.startswith(b"HTTP/1.1 504 ")]
        assert len(late) + sum(not one for one in answers) == 20
        flood = struct.pack("!BII", Kind.RESET, 1, 0) * 20_000
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(10):
                while True:
                    await socket.send(flood)
        assert await is_well(stand)


@pytest.mark.anyio
async def test_between_the_frames_of_a_flood_others_have_their_turn(stand: Stand) -> None:
    stand.app("theirs", ("EVIL-1", 1))
    async with a_tunnel(stand, "EVIL-1") as socket:
        await stand.reached("EVIL-1")
        asking = asyncio.create_task(said_to(stand, ASK.replace(b"shop", b"theirs") % b"/"))
        await socket.recv()
        line = stand.tunnels.here("EVIL-1")
        assert line is not None
        before = line._end.frames
        await socket.send(struct.pack("!BII", Kind.RESET, 1, 0) * 20_000)
        at_once = 0
        async with asyncio.timeout(10):
            while (now := line._end.frames) < before + 20_000:
                await asyncio.sleep(0)
                at_once = max(at_once, line._end.frames - now)
        assert 0 < at_once <= 2 * tunnels.FRAMES_AT_ONCE
        await asking


@pytest.mark.anyio
async def test_a_node_that_does_not_read_is_cut(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnels, "SEND_SECONDS", 0.5)
    stand.app("theirs", ("EVIL-1", 1))
    async with a_shop(stand), a_tunnel(stand, "EVIL-1") as socket:
        await stand.reached("EVIL-1")
        socket.transport.pause_reading()
        ask = b"POST / HTTP/1.1\r\nHost: theirs.apps.x\r\nContent-Length: 60000\r\n\r\n" + bytes(60_000)
        senders = [asyncio.create_task(said_to(stand, ask)) for _ in range(200)]
        async with asyncio.timeout(10):
            while stand.tunnels.of("EVIL-1") is not None:  # noqa: ASYNC110 - nothing says when
                await asyncio.sleep(0.05)
        assert await is_well(stand)
        await asyncio.gather(*senders)


@pytest.mark.anyio
async def test_callers_that_do_not_read_are_sent_little(stand: Stand) -> None:
    async with a_shop(stand) as (site, _):
        before = psutil.Process().memory_info().rss
        callers = []
        for _ in range(40):
            _, writer = await asyncio.open_connection("127.0.0.1", stand.port, limit=1024)
            writer.transport.pause_reading()
            writer.write(ASK % b"/flood")
            callers.append(writer)
        await asyncio.sleep(1.0)
        grown = (psutil.Process().memory_info().rss - before) / 1e6
        assert await is_well(stand)
        for writer in callers:
            writer.close()
            writer.transport.abort()
        # Sockets of both sides hold a few MB each; app, agent, server and callers are all of this process.
        assert site.written < 40 * 12e6
        assert grown < 120


@pytest.mark.anyio
async def test_refused_upgrades_that_nobody_reads_are_counted_and_then_cut(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "READ_SECONDS", 1.0)
    size = 8 * 1024 * 1024  # more than the system keeps for a connection
    monkeypatch.setattr(upgrade, "BODY_BYTES_MAX", size)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        await reader.read()
        writer.close()

    doors = Doors()
    ask = b"GET / HTTP/1.1\r\nHost: large.apps.x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    async with a_port(refuse) as port, a_node(stand.url, "GOOD-1", doors):
        app = stand.app("large", ("GOOD-1", 1))
        doors.ports[app.id, 1] = port
        await stand.reached("GOOD-1")
        counted = stand.ingress._ingress._upgraded
        reader, writer = await asyncio.open_connection("127.0.0.1", stand.port, limit=1024)
        writer.write(ask)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)  # by then it would be counted no more
        assert counted == {app.id: 1}
        async with asyncio.timeout(5):
            while counted:  # noqa: ASYNC110 - nothing says when
                await asyncio.sleep(0.05)
        writer.transport.abort()
        assert len(await said_to(stand, ask)) > size


@pytest.mark.anyio
async def test_requests_with_two_meanings_are_refused_and_never_forwarded(stand: Stand) -> None:
    async with a_shop(stand) as (site, _):
        head = b"POST / HTTP/1.1\r\nHost: shop.apps.x\r\n"
        hostile = [
            head + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x",
            head + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            head + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
            head + b"Content-Length: +4\r\n\r\nabcd",
            head + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            head + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            head + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: shop.apps.x\r\nHost: other.apps.x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: shop.apps.x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: shop.apps.x\r\nX: a\rb\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: shop.apps.x\r\n folded: 1\r\n\r\n",
            b"GET / HTTP/1.1\nHost: shop.apps.x\n\n",
            b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: shop.apps.x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: shop.apps.x\r\n" + b"x: 1\r\n" * 10_000 + b"\r\n",
            b"GET / HTTP/1.1\r\nHost: shop.apps.x\r\nX: " + bytes([120]) * 100_000 + b"\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nHost: shop.apps.x\r\n\r\n",
        ]
        answers = await asyncio.gather(*(said_to(stand, one) for one in hostile))
        for request, answer in zip(hostile, answers, strict=True):
            assert answer[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 431", b""}, (request[:80], answer[:200])
        assert site.seen == []
        assert await is_well(stand)


@pytest.mark.anyio
async def test_strange_targets_and_hosts_reach_that_app_or_nothing(stand: Stand) -> None:
    async with a_shop(stand) as (site, _):
        for target in (
            b"//127.0.0.1:22/",
            b"/%2e%2e/%2e%2e/api/tasks",
            b"/../../api/tasks",
            b"http://169.254.169.254/",
        ):
            await said_to(stand, b"GET %b HTTP/1.1\r\nHost: shop.apps.x\r\nConnection: close\r\n\r\n" % target)
        assert len(site.seen) == 4
        assert all(b"\r\nhost: shop.apps.x\r\n" in head for head in site.seen)
        for host in (b"127.0.0.1:22", b"169.254.169.254", b"shop.apps.x@127.0.0.1", b"a" * 5000 + b".apps.x", b"\xff"):
            answer = await said_to(stand, b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % host)
            assert answer[:12] in {b"HTTP/1.1 404", b"HTTP/1.1 200", b"HTTP/1.1 400"}
        assert len(site.seen) <= 5


@pytest.mark.anyio
async def test_an_agent_leads_to_nothing_but_what_it_hosts(stand: Stand) -> None:
    async with a_shop(stand) as (site, doors):
        line = stand.tunnels.of("GOOD-1")
        assert line is not None
        refused = []

        class Sink(Site):
            def accepted(self) -> None: ...
            def data(self, content: bytes) -> None: ...
            def ended(self) -> None: ...
            def drained(self) -> None: ...
            def lost(self) -> None: ...
            def reset(self, code: str) -> None: ...
            def refused(self, code: str) -> None:
                refused.append(code)

        app = next(iter(doors.ports))[0]
        for target in (Target(app, 2), Target(app + 1, 1), Target(app, 1, "OTHER-1")):
            line._end.open(target, Sink()).write(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(5):
            while len(refused) < 3:  # noqa: ASYNC110 - nothing says when
                await asyncio.sleep(0.01)
        assert site.seen == []
