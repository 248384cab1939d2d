"""A server with the ingress and no store, an agent's end of the tunnel, and apps on ports of this machine."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import uvicorn

from anchor.adapters.local.buckets import LocalBuckets
from anchor.adapters.local.clock import SystemClock
from anchor.agent.tunnel import Tunnel
from anchor.core.access import Principal, Role
from anchor.core.app import App, Release, Replica, ReplicaState
from anchor.core.errors import Unauthenticated
from anchor.core.node import Node
from anchor.orchestrator.app_memory import AppMemory
from anchor.server.app import PING_SECONDS, _front, _until, application
from anchor.server.gate import Gate
from anchor.server.ingress.far import Far
from anchor.server.ingress.hosts import Hosts
from anchor.server.ingress.tunnels import Tunnels
from anchor.server.live.hub import Live
from anchor.wire.link import FRAME_BYTES_MAX


class Doors:
    """What a node hosts: a port of this machine for each generation of each app."""

    def __init__(self) -> None:
        self.ports: dict[tuple[int, int], int] = {}
        self.streams_of: dict[tuple[int, int], int] = {}
        self.asked: list[tuple[int, int]] = []

    async def connect(self, app_id: int, generation: int) -> socket.socket:
        self.asked.append((app_id, generation))
        port = self.ports.get((app_id, generation))
        if port is None:
            raise ConnectionRefusedError
        loop = asyncio.get_running_loop()
        connected = socket.socket()
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await loop.sock_connect(connected, ("127.0.0.1", port))
        except OSError:
            connected.close()
            raise
        return connected

    def streams(self, app_id: int, generation: int, delta: int) -> None:
        place = (app_id, generation)
        self.streams_of[place] = self.streams_of.get(place, 0) + delta


class OpenGate(Gate):
    """Lets nodes in by their name, and other servers by their secret."""

    async def identify(self, token: str) -> Principal:
        if not token.startswith("ancn_"):
            raise Unauthenticated("no")
        return Principal(token.removeprefix("ancn_"), Role.NODE)


class Stand:
    """The server's side."""

    def __init__(self) -> None:
        self.apps = AppMemory()
        self.tunnels = Tunnels()
        self.url = ""
        self.port = 0
        self.ingress: Any = None
        self._serial = 0

    def app(self, name: str, *replicas: tuple[str, int], **changes: Any) -> App:
        """An app with healthy web replicas: the node and the generation of each."""
        self._serial += 1
        known = self.apps.named(name)
        healthy = tuple(
            Replica(process="web", index=at, generation=generation, release=1, node=node, state=ReplicaState.HEALTHY)
            for at, (node, generation) in enumerate(replicas)
        )
        key = known.id if known is not None else self._serial
        ver = known.ver + 1 if known is not None else 1
        fields = {"live": 1, "replicas": healthy, "releases": (release(),)} | changes
        app = App(id=key, name=name, title=name, owner="ann", created_at=1, ver=ver, **fields)
        self.apps.keep(app)
        return app

    async def reached(self, node: str) -> None:
        """Wait for a node's tunnel."""
        async with asyncio.timeout(30):
            while self.tunnels.of(node) is None:  # noqa: ASYNC110 - nothing says when
                await asyncio.sleep(0.005)


def release(**changes: Any) -> Release:
    from anchor.core.app import AppConfig, Plan  # noqa: PLC0415

    fields = {"number": 1, "source": "", "config": AppConfig(), "plan": Plan("node", {}), "created_at": 1, "by": "ann"}
    return Release(**(fields | changes))


class NoStore:
    """Knows every node, and nothing else."""

    async def node(self, node: str) -> Node:
        return Node(id=node, owner="ann", public_key=b"", joined_at=0)


@contextlib.asynccontextmanager
async def a_stand(
    port: int = 0, *, server: str = "alone", store: Any = None, secret: bytes = b"secret"
) -> AsyncIterator[Stand]:
    """A server on loopback, in this process; with a `store` it is one of several."""
    stand = Stand()
    clock = SystemClock()
    world = SimpleNamespace(
        apps=stand.apps, store=store or NoStore(), sole_writer=store is None, server=server, clock=clock
    )
    gate = OpenGate(world.store, clock, LocalBuckets(), secret=secret, open_locally=True, requests_per_second=1000)
    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    stand.port = listener.getsockname()[1]
    stand.url = f"http://127.0.0.1:{stand.port}"
    desk: Any = SimpleNamespace(
        world=world, gate=gate, ready=True, version="test", url=stand.url, apps_domain="", peer_url=stand.url
    )
    hosts = Hosts("", stand.url)
    front = _front(desk, hosts, stand.tunnels)
    lines: Any = None
    config = uvicorn.Config(
        application(desk, lines, hosts, stand.tunnels, front.apps, Live(desk)),
        lifespan="off", http=front.protocol, log_config=None, access_log=False, server_header=False,
        proxy_headers=False, ws="websockets-sansio", ws_max_size=FRAME_BYTES_MAX, ws_per_message_deflate=False,
        ws_ping_interval=PING_SECONDS, timeout_graceful_shutdown=1, timeout_keep_alive=75, backlog=2048,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    stand.ingress = front.apps
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    assert front.watch is not None
    watching = [asyncio.create_task(front.watch()), asyncio.create_task(Far(desk, stand.tunnels).watch())]
    try:
        await _until(lambda: server.started)
        yield stand
    finally:
        stand.tunnels.close()
        server.should_exit = True
        for one in watching:
            one.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await serving


@contextlib.asynccontextmanager
async def a_node(url: str, name: str, doors: Doors) -> AsyncIterator[Tunnel]:
    """An agent's end of the tunnel."""
    tunnel = Tunnel(url, doors, lambda: f"ancn_{name}")
    tunnel.want(True)
    running = asyncio.create_task(tunnel.run())
    try:
        yield tunnel
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@contextlib.asynccontextmanager
async def a_port(serve: Serve) -> AsyncIterator[int]:
    """Something that listens on a port of its own."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
