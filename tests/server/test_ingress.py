"""Requests to apps, from a caller's socket to an app's and back, through a real tunnel."""

import asyncio
import contextlib
import gc
import json
import time
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from ingress_app import LARGE, Site
from ingress_stand import Doors, Stand, a_node, a_port, a_stand, release
from msgspec.structs import replace
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from anchor.core.app import App, ReleaseState, ReplicaState, Wanted
from anchor.core.attempt import Reason
from anchor.server.ingress import door, forward, upgrade
from anchor.server.ingress.pick import Picker

SHOP = {"Host": "shop.apps.localhost"}


class Ground:
    """One server, two nodes, and an app with a replica on each."""

    def __init__(self, stand: Stand, doors: dict[str, Doors], sites: dict[str, Site], ports: dict[str, int]) -> None:
        self.stand = stand
        self.doors = doors
        self.sites = sites
        self.ports = ports
        self.caller = httpx.AsyncClient(base_url=stand.url, headers=SHOP, trust_env=False, timeout=20)

    def app(self, name: str, *sites: str) -> App:
        """An app whose replicas are these sites, the first on node N1, the second on N2."""
        nodes = list(zip(("N1", "N2"), range(1, 3), strict=True))[: len(sites)]
        app = self.stand.app(name, *nodes)
        for site, (node, generation) in zip(sites, nodes, strict=True):
            self.doors[node].ports[app.id, generation] = self.ports[site]
        return app

    def streams(self) -> int:
        return sum(sum(doors.streams_of.values()) for doors in self.doors.values())

    async def raw(self, *parts: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.stand.port)
        for part in parts:
            writer.write(part)
        return reader, writer


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    async with contextlib.AsyncExitStack() as stack:
        stand = await stack.enter_async_context(a_stand())
        sites = {name: Site(name) for name in ("a", "b")}
        ports = {name: await stack.enter_async_context(a_port(site.serve)) for name, site in sites.items()}
        doors = {node: Doors() for node in ("N1", "N2")}
        for node, there in doors.items():
            await stack.enter_async_context(a_node(stand.url, node, there))
            await stand.reached(node)
        found = Ground(stand, doors, sites, ports)
        found.app("shop", "a")
        yield found
        await found.caller.aclose()


async def until(done: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110 - nothing says when
            await asyncio.sleep(0.01)


@pytest.mark.anyio
async def test_an_app_answers_under_its_name_and_below_its_path(ground: Ground) -> None:
    by_name = await ground.caller.get("/hello%2F?x=1")
    by_path = await ground.caller.get("/apps/shop/hello%2F?x=1", headers={"Host": "localhost"})
    assert (by_name.text, by_path.text) == ("a /hello%2F?x=1", "a /hello%2F?x=1")
    assert "content-security-policy" not in by_name.headers
    assert "sandbox" in by_path.headers["content-security-policy"]
    moved = await ground.caller.get("/apps/shop?x=1", headers={"Host": "localhost"})
    assert (moved.status_code, moved.headers["location"]) == (308, "/apps/shop/?x=1")


@pytest.mark.anyio
async def test_a_page_in_the_sandbox_may_send_to_its_own_app_and_one_elsewhere_may_not(ground: Ground) -> None:
    ask = {"Host": "localhost", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-one"}
    # Without an address of the internet it may be a page of any site, in a browser that reaches what the site does not.
    for address in ({}, {"X-Forwarded-For": "9.9.9.9, 10.0.0.7"}, {"X-Forwarded-For": "fd00::1"}):
        for answer in (
            await ground.caller.options("/apps/shop/item", headers=ask | address | {"Origin": "null"}),
            await ground.caller.get("/apps/shop/item", headers={"Host": "localhost", "Origin": "null"} | address),
        ):
            assert not any(name.startswith("access-control") for name in answer.headers)
    ask |= {"X-Forwarded-For": "9.9.9.9"}
    own, elsewhere = [
        await ground.caller.options("/apps/shop/item", headers=ask | {"Origin": origin})
        for origin in ("null", "https://elsewhere.example")
    ]
    assert (own.status_code, own.headers["access-control-allow-origin"]) == (204, "null")
    assert (own.headers["access-control-allow-methods"], own.headers["access-control-allow-headers"]) == (
        "PUT",
        "x-one",
    )
    assert not any(name.startswith("access-control") for name in elsewhere.headers)


@pytest.mark.anyio
async def test_every_request_of_a_connection_is_judged_by_its_own_host(ground: Ground) -> None:
    ground.app("other", "b")
    reader, writer = await ground.raw(
        b"GET /1 HTTP/1.1\r\nHost: shop.apps.x\r\n\r\n",
        b"GET /2 HTTP/1.1\r\nHost: other.apps.x\r\n\r\n",
        b"GET /api/version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /api/tasks HTTP/1.1\r\nHost: shop.apps.x\r\nConnection: close\r\n\r\n",
    )
    said = await reader.read()
    writer.close()
    first, second, third, fourth = said.split(b"HTTP/1.1 ")[1:]
    assert first.endswith(b"a /1")
    assert second.endswith(b"b /2")
    assert b'"code":"not_found"' in third
    assert fourth.endswith(b"a /api/tasks")


@pytest.mark.anyio
async def test_a_request_leaves_nothing_for_the_garbage_collector(ground: Ground) -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            await ground.caller.get("/")
            await ground.caller.get("/api/version", headers={"Host": "localhost"})
        left = [one for one in gc.get_objects() if isinstance(one, RequestResponseCycle)]
    finally:
        gc.enable()
    assert len(left) <= 2  # the last one of each connection


@pytest.mark.anyio
async def test_answers_of_every_framing_arrive_as_they_were_meant(ground: Ground) -> None:
    caller = ground.caller
    assert (await caller.get("/hints")).text == "hinted"
    nothing, same = await caller.get("/nothing"), await caller.get("/same")
    assert (nothing.status_code, nothing.content) == (204, b"")
    assert (same.status_code, same.headers["etag"], same.content) == (304, "x", b"")
    head = await caller.head("/length")
    assert (head.headers["content-length"], head.content) == ("500", b"")
    chunks = await caller.get("/chunks")
    assert (chunks.text, "x-t" in chunks.headers) == ("onetwo", False)
    assert (await caller.get("/old")).text == "until the end"
    reader, writer = await ground.raw(b"GET /chunks HTTP/1.0\r\nHost: shop.apps.x\r\n\r\n")
    old = await reader.read()
    writer.close()
    assert old.endswith(b"\r\n\r\nonetwo")
    assert b"chunked" not in old


@pytest.mark.anyio
async def test_bodies_are_streamed_with_a_length_in_chunks_and_after_a_word(ground: Ground) -> None:
    whole = LARGE * 30

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(whole), 70_001):
            yield whole[at : at + 70_001]

    sized, chunked = await asyncio.gather(
        ground.caller.post("/echo", content=whole), ground.caller.post("/echo", content=pieces())
    )
    assert sized.content == chunked.content == whole
    ask = b"POST /echo HTTP/1.1\r\nHost: shop.apps.x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    reader, writer = await ground.raw(ask)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"word")
    assert (await reader.readuntil(b"word")).startswith(b"HTTP/1.1 200")
    writer.close()
    assert not any(b"expect" in head for head in ground.sites["a"].seen)


@pytest.mark.anyio
async def test_events_arrive_one_by_one(ground: Ground) -> None:
    async with ground.caller.stream("GET", "/events") as answer:
        events = answer.aiter_lines()
        for number in range(3):
            assert await anext(events) == f"data: {number}"
            assert await anext(events) == ""
            ground.sites["a"].next_event.set()
        assert [line async for line in events] == []


@pytest.mark.anyio
async def test_after_an_upgrade_bytes_go_both_ways_and_ends_are_passed_on(ground: Ground) -> None:
    ask = (
        b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nCookie: __Host-anchor=1\r\n\r\n"
    )
    for path, host in ((b"/ws", b"shop.apps.x"), (b"/apps/shop/ws", b"localhost")):
        reader, writer = await ground.raw(ask % (path, host), b"early")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        sent = LARGE * 20

        async def send(writer: asyncio.StreamWriter = writer, sent: bytes = sent) -> None:
            writer.write(sent)
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert await reader.read() == b"early" + sent or await reader.read() == b""
        await sending
        writer.close()
    assert not any(b"anchor=1" in head for head in ground.sites["a"].seen)
    reader, writer = await ground.raw(ask % (b"/plain", b"shop.apps.x"))
    said = await reader.read()
    writer.close()
    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.endswith(b"a /plain")
    reader, writer = await ground.raw(ask % (b"/ws", b"nobody.apps.x"))
    assert (await reader.read()).startswith(b"HTTP/1.1 404 ")
    writer.close()
    await until(lambda: ground.streams() == 0)


@pytest.mark.anyio
async def test_an_upgrade_to_http_2_is_not_made(ground: Ground) -> None:
    reader, writer = await ground.raw(
        b"GET /x HTTP/1.1\r\nHost: shop.apps.x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
    )
    said = await reader.read()
    writer.close()
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"upgrade" not in ground.sites["a"].seen[-1].lower()


@pytest.mark.anyio
async def test_a_replica_that_nobody_could_have_heard_is_replaced_by_another(ground: Ground) -> None:
    app = ground.app("shop", "a", "b")
    ground.doors["N1"].ports.pop((app.id, 1))  # it refuses
    answers = [await ground.caller.post("/echo", content=b"to whom") for _ in range(4)]
    assert [one.text for one in answers] == ["to whom"] * 4
    assert ground.sites["a"].seen == []
    assert len(ground.doors["N1"].asked) == 1  # left out for a second


@pytest.mark.anyio
async def test_a_request_whose_replica_died_waits_a_moment_for_the_other_to_come_within_reach(ground: Ground) -> None:
    heard: list[bytes] = []

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with a_port(die) as port:
        app = ground.app("shop", "a", "b")
        ground.doors["N1"].ports[app.id, 1] = port
        other = ground.doors["N2"].ports.pop((app.id, 2))
        asking = asyncio.create_task(ground.caller.get("/"))
        await until(lambda: heard and ground.doors["N2"].asked)
        ground.doors["N2"].ports[app.id, 2] = other
        assert (await asking).text == "b /"
    assert len(heard) == 1


@pytest.mark.anyio
async def test_what_may_be_repeated_is_and_what_may_not_is_not(ground: Ground) -> None:
    ground.app("shop", "a", "a")
    assert (await ground.caller.get("/hangup")).status_code == 502
    assert len(ground.sites["a"].seen) == 2  # each replica was asked
    posted = await ground.caller.post("/hangup", content=b"once")
    assert (posted.status_code, posted.json()["code"]) == (502, "connection_broke")
    assert len(ground.sites["a"].seen) == 3


@pytest.mark.anyio
async def test_a_request_waits_a_moment_for_a_replica_to_come_within_reach(ground: Ground) -> None:
    app = ground.app("shop", "a")
    port = ground.doors["N1"].ports.pop((app.id, 1))
    asking = asyncio.create_task(ground.caller.post("/echo", content=b"late"))
    await until(lambda: ground.doors["N1"].asked)
    ground.doors["N1"].ports[app.id, 1] = port
    assert (await asking).text == "late"


@pytest.mark.anyio
async def test_the_least_busy_replica_is_asked(ground: Ground) -> None:
    ground.app("shop", "a", "b")
    held = [asyncio.create_task(ground.caller.get("/never")) for _ in range(2)]
    await until(lambda: len(ground.sites["a"].seen) + len(ground.sites["b"].seen) == 2)
    assert (len(ground.sites["a"].seen), len(ground.sites["b"].seen)) == (1, 1)
    for one in held:
        one.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    await until(lambda: ground.streams() == 0)  # whoever hangs up is heard by the app


@pytest.mark.anyio
async def test_an_app_that_cannot_answer_says_why_to_people_and_to_programs(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "PATIENCE_SECONDS", 0.1)
    why = Reason("crash_loop", "It crashed 5 times: <b>boom</b>.", "")
    stand = ground.stand
    stand.app("stopped", wanted=Wanted.STOPPED)
    stand.app("deploying", live=0)
    stand.app("failed", live=0, reason=why, releases=(release(state=ReleaseState.FAILED),))
    stand.app("away", ("N3", 1))
    for name, status, code in (
        ("nobody", 404, "no_such_app"),
        ("stopped", 503, "app_stopped"),
        ("deploying", 503, "app_deploying"),
        ("failed", 503, "app_failed"),
        ("away", 503, "no_replica_reached"),
    ):
        answer = await ground.caller.get("/", headers={"Host": f"{name}.apps.x"})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert ("retry-after" in answer.headers) == (status == 503)
    page = await ground.caller.get("/", headers={"Host": "failed.apps.x", "Accept": "text/html,*/*"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "crashed 5 times: &lt;b&gt;boom" in page.text


@pytest.mark.anyio
async def test_an_answer_that_is_none_is_said_to_be_none(ground: Ground) -> None:
    for path in ("/garbage", "/both", "/headers", "/status/999", "/status/000", "/status/099"):
        answer = await ground.caller.get(path)
        assert (answer.status_code, answer.json()["code"]) == (502, "bad_answer"), path
    with pytest.raises(httpx.RemoteProtocolError):
        await ground.caller.get("/short")
    assert (await ground.caller.get("/fine")).text == "a /fine"


@pytest.mark.anyio
async def test_an_answer_nobody_asked_for_reaches_nobody(ground: Ground) -> None:
    ask = {"Host": "localhost", "Access-Control-Request-Method": "PUT", "Origin": "null", "X-Forwarded-For": "9.9.9.9"}
    for _ in range(3):
        assert (await ground.caller.get("/strange")).status_code == 502
        assert (await ground.caller.options("/apps/shop/unread", headers=ask)).status_code == 204
        assert (await ground.caller.get("/two")).text == "first"
        assert (await ground.caller.get("/next")).text == "a /next"


@pytest.mark.anyio
async def test_an_app_that_takes_too_long_and_one_with_too_much_to_do(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(upgrade, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(door, "REQUESTS_MAX", 2)
    ask = b"GET /never HTTP/1.1\r\nHost: shop.apps.x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    slow = [asyncio.create_task(ground.caller.get("/never")) for _ in range(2)]
    reader, writer = await ground.raw(ask)
    await until(lambda: len(ground.sites["a"].seen) == 3)
    busy = await ground.caller.get("/")
    assert (busy.status_code, busy.json()["code"], busy.headers["retry-after"]) == (503, "app_busy", "1")
    late = await asyncio.gather(*slow)
    assert {(one.status_code, one.json()["code"]) for one in late} == {(504, "app_timed_out")}
    assert (await reader.read()).startswith(b"HTTP/1.1 504 ")
    writer.close()
    assert (await ground.caller.get("/")).status_code == 200


@pytest.mark.anyio
async def test_an_app_passes_no_more_bytes_in_a_second_than_it_may(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "APP_BYTES_PER_SECOND", 5_000_000)
    begun = time.monotonic()
    async with ground.caller.stream("GET", "/flood") as answer:
        async for _ in answer.aiter_bytes():
            if answer.num_bytes_downloaded >= 5_000_000:
                break
    assert time.monotonic() - begun >= 0.3  # a quarter of it passes at once, and a piece may overdraw
    await until(lambda: ground.sites["a"].connections == 0)


@pytest.mark.anyio
async def test_where_nothing_moves_for_long_neither_the_answer_nor_the_upgrade_stays(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(upgrade, "IDLE_SECONDS", 0.2)
    ask = b"GET /ws HTTP/1.1\r\nHost: shop.apps.x\r\nConnection: Upgrade\r\nUpgrade: x\r\nSec-WebSocket-Key: 1\r\n\r\n"
    reader, writer = await ground.raw(ask)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    with pytest.raises(httpx.RemoteProtocolError):
        await ground.caller.get("/events")
    await reader.read()
    writer.close()
    await until(lambda: ground.streams() == 0)


@pytest.mark.anyio
async def test_a_generation_that_is_not_routed_to_keeps_no_streams(ground: Ground) -> None:
    assert (await ground.caller.get("/")).status_code == 200
    assert ground.streams() == 1  # kept for the next request
    ground.app("shop")
    await until(lambda: ground.streams() == 0)
    assert (await ground.caller.get("/")).json()["code"] == "no_healthy_replica"


@pytest.mark.anyio
async def test_what_drains_is_let_go_of_at_once(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Picker, "sweep", lambda self, now: None)  # which would let go of it within a second or two
    async with ground.caller.stream("GET", "/events") as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        assert (await ground.caller.get("/")).status_code == 200
        assert ground.streams() == 2  # one kept for the next request
        [replica] = ground.stand.app("shop", ("N1", 1)).replicas
        ground.stand.app("shop", replicas=(replace(replica, state=ReplicaState.DRAINING),))
        await until(lambda: ground.streams() == 1)
        for _ in range(3):
            ground.sites["a"].next_event.set()
            await anext(lines)
            await anext(lines, None)
    await until(lambda: ground.streams() == 0)


@pytest.mark.anyio
async def test_a_newer_tunnel_of_a_node_takes_the_place_of_the_older(ground: Ground) -> None:
    older = ground.stand.tunnels.of("N1")
    doors = Doors()
    doors.ports = ground.doors["N1"].ports
    async with a_node(ground.stand.url, "N1", doors):
        await until(lambda: ground.stand.tunnels.of("N1") is not older)
        answer = await ground.caller.get("/")
        assert answer.text == "a /"
    assert json.loads(json.dumps(doors.asked)) == [[1, 1]] or ground.doors["N1"].asked
