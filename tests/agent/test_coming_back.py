"""How an agent comes back: spread over time, to servers of an older protocol, too, and never in a crash loop."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from structlog.testing import capture_logs
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from anchor.agent import identity
from anchor.agent.apps.box_key import box_key_in
from anchor.agent.pauses import BACKOFF_CAP_SECONDS, HOSTING_CAP_SECONDS, SPREAD_SECONDS, Pauses
from anchor.agent.run import run
from anchor.server.app_secrets import AppSecrets
from anchor.server.lines import Lines
from anchor.wire import box
from anchor.wire.link import box_bytes

NODE = "OLD-A1B2C3"
PATIENCE_SECONDS = 20.0
UPGRADE = ["refused", "upgrade_required", "The server speaks link protocols 8 to 9.", "Install the same version.", None]

Talk = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[str]:
    """A server that answers `/health` as Anchor does, and lets `talk` speak on each agent's line; its URL."""

    async def health(_: ServerConnection, request: Request) -> Response | None:
        if request.path != "/health":
            return None
        return Response(200, "OK", Headers({"Content-Type": "application/json"}), b'{"version": "0.1.0"}')

    async with serve(talk, "127.0.0.1", 0, process_request=health) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def agent(url: str, directory: Path) -> AsyncIterator[asyncio.Task[None]]:
    """A real agent that has joined before."""
    identity.remember(directory, NODE)
    stop = asyncio.Event()
    running = asyncio.create_task(run(url, directory, slots=2, stop=stop))
    try:
        yield running
    finally:
        stop.set()
        await asyncio.wait({running}, timeout=PATIENCE_SECONDS)
    running.result()


async def send(line: ServerConnection, *frame: Any) -> None:
    await line.send(msgspec.msgpack.encode(frame))


async def receive(line: ServerConnection) -> list[Any]:
    content = await line.recv()
    assert isinstance(content, bytes)
    frame: list[Any] = msgspec.msgpack.decode(content)
    return frame


async def hello_of(line: ServerConnection, protocols: tuple[int, int] = (3, 3)) -> list[Any]:
    await send(line, "challenge", bytes(32), "anchor", "0.1.0", *protocols, int(time.time() * 1000))
    hello = await receive(line)
    assert hello[0] == "hello"
    return hello[1:]


@pytest.mark.anyio
async def test_an_agent_works_for_a_server_that_speaks_protocol_3_only(tmp_path: Path) -> None:
    recorded: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def talk(line: ServerConnection) -> None:
        hello = await hello_of(line)
        assert hello[2:4] == [3, 4]
        assert hello[10:] == [b"", b""], "a key for secrets of apps, of which that server knows nothing"
        await send(line, "welcome", 1, 1, 15.0, 0.2, "token", [])
        limits = {"memory_mib": 128, "timeout_seconds": 30.0, "output_bytes": 1000}
        await send(line, "assign", [[7, 1, "noop", limits, json.dumps({"input": 5}).encode(), "", "t"]])
        async for content in line:
            kind, *fields = msgspec.msgpack.decode(content)
            if kind == "heartbeat":
                await send(line, "renewed", 1, [])
            elif kind == "report":
                node, session, _, [ending] = msgspec.msgpack.decode(fields[0])
                assert (node, session) == (NODE, 1)
                await send(line, "recorded", [[ending["task"], ending["attempt"]]], [])
                if not recorded.done():
                    recorded.set_result(ending)

    async with server(talk) as url, agent(url, tmp_path), asyncio.timeout(PATIENCE_SECONDS):
        ending = await recorded
    assert (ending["task"], ending["attempt"], ending["outcome"]) == (7, 1, "succeeded")
    assert json.loads(ending["result"]["json"]) == 5


@pytest.mark.anyio
async def test_the_epoch_of_a_welcome_is_kept_and_said_in_every_later_hello(tmp_path: Path) -> None:
    heard: asyncio.Queue[int] = asyncio.Queue()

    async def talk(line: ServerConnection) -> None:
        hello = await hello_of(line, (1, 2))
        await send(line, "welcome", heard.qsize() + 1, 2, 1.0, 0.3, "token", [], 6 + heard.qsize())
        heard.put_nowait(hello[9])
        await line.close()

    async with asyncio.timeout(PATIENCE_SECONDS):
        async with server(talk) as url, agent(url, tmp_path):
            assert await heard.get() == -1
            first = await heard.get()
            assert first == 6
        async with server(talk) as url, agent(url, tmp_path):
            assert await heard.get() >= first


@pytest.mark.anyio
async def test_an_agent_the_server_is_too_new_for_stays_up_says_so_once_and_asks_again_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: asyncio.Queue[None] = asyncio.Queue()

    async def talk(line: ServerConnection) -> None:
        await hello_of(line, (8, 9))
        asked.put_nowait(None)
        await send(line, *UPGRADE)

    with capture_logs() as logs:
        async with server(talk) as url, agent(url, tmp_path / "slow") as running:
            done, _ = await asyncio.wait({running}, timeout=3)
            assert not done
            assert asked.qsize() == 1
        monkeypatch.setattr("anchor.agent.pauses.UPGRADE_SECONDS", (0.0, 0.1))
        async with server(talk) as url, agent(url, tmp_path / "quick") as running, asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(10):
                await asked.get()
            assert not running.done()
    said = [entry for entry in logs if entry["log_level"] == "error"]
    assert [entry["message"] for entry in said] == [UPGRADE[2]] * 2
    assert all(str(UPGRADE[3]) in entry["hint"] for entry in said)


@pytest.mark.anyio
async def test_an_agent_finds_its_way_once_the_server_was_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anchor.agent.pauses.UPGRADE_SECONDS", (0.0, 0.1))
    refused = 0
    welcomed = asyncio.Event()

    async def talk(line: ServerConnection) -> None:
        nonlocal refused
        await hello_of(line, (1, 2))
        if refused < 2:
            refused += 1
            await send(line, *UPGRADE)
            return
        await send(line, "welcome", 1, 2, 15.0, 3.0, "token", [], 0)
        welcomed.set()
        await line.wait_closed()

    async with asyncio.timeout(PATIENCE_SECONDS), server(talk) as url, agent(url, tmp_path):
        await welcomed.wait()


def test_agents_that_lose_their_server_together_call_again_one_by_one_within_a_quarter_of_a_lease() -> None:
    random.seed(5)
    drawn = [Pauses().after_session(60.0) for _ in range(10_000)]
    lines = Lines(None, secrets=AppSecrets(b""), lease_seconds=15, heartbeat_seconds=3)  # type: ignore[arg-type]
    placed = []
    for _ in range(50):
        pauses = Pauses()
        pauses.place = lines.next_place()
        placed.append(pauses.after_session(60.0))
    for waits in (drawn, placed):
        assert max(waits) <= SPREAD_SECONDS
        for start in (0.0, 0.7, 1.3, 2.0, 2.7):
            assert sum(start <= wait < start + 1 for wait in waits) <= 0.3 * len(waits)
    hurried = Pauses()
    hurried.lease_seconds = 3.0
    assert max(hurried.after_session(60.0) for _ in range(1000)) <= SPREAD_SECONDS / 5


def test_waits_grow_with_every_failure_up_to_a_minute_and_begin_small_after_a_session() -> None:
    random.seed(6)
    pauses = Pauses()
    for failure in range(1, 30):
        assert pauses.after_failure() <= min(BACKOFF_CAP_SECONDS, 2.0**failure)
    assert max(pauses.after_failure() for _ in range(100)) > BACKOFF_CAP_SECONDS / 2
    pauses.hosts = True
    assert max(pauses.after_failure() for _ in range(100)) <= HOSTING_CAP_SECONDS, "apps are out of reach meanwhile"
    pauses.hosts = False
    assert any(pauses.after_session(1.0) > SPREAD_SECONDS for _ in range(50))
    pauses.place = 0.5
    assert pauses.after_session(60.0) == SPREAD_SECONDS / 2
    assert pauses.after_session(1.0) == SPREAD_SECONDS / 2
    assert max(pauses.after_session(60.0) for _ in range(1000)) <= SPREAD_SECONDS


def test_a_server_that_names_a_time_is_not_asked_sooner() -> None:
    waits = [Pauses().after_refusal(4.0) for _ in range(1000)]
    assert 4.0 <= min(waits) <= max(waits) <= 4.8


@pytest.mark.anyio
async def test_a_hello_brings_the_signed_public_half_of_the_key_for_secrets(tmp_path: Path) -> None:
    heard: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    async def talk(line: ServerConnection) -> None:
        hello = await hello_of(line, (3, 4))
        if not heard.done():
            heard.set_result(hello)

    async with server(talk) as url, agent(url, tmp_path), asyncio.timeout(PATIENCE_SECONDS):
        public, signature = (await heard)[10:]
    assert box.opened(box_key_in(tmp_path), box.sealed(public, b"canary")) == b"canary"
    assert public != box_key_in(tmp_path)
    key = Ed25519PublicKey.from_public_bytes(identity.public_key_of(identity.private_key_in(tmp_path)))
    key.verify(signature, box_bytes(NODE, public))
