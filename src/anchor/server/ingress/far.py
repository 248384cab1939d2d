"""The ways to nodes whose tunnels other servers have: duties in the store say who, streams go through /relay."""

import asyncio
from collections.abc import Callable, Iterable

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from anchor.core.app import routable
from anchor.core.errors import AnchorError
from anchor.orchestrator.duties import lay_down, take
from anchor.ports.store import UnknownOutcome
from anchor.server.desk import Desk
from anchor.server.ingress.tunnels import TunnelLine, Tunnels
from anchor.wire.tunnel import MESSAGE_BYTES_READ_MAX, Sink, Stream, Target, TunnelBroken, TunnelEnd

log = structlog.get_logger("anchor.ingress")
DUTY = "tunnel/"
LOOK_SECONDS = 1.0
LEASE_MS = 60_000
RENEW_MS = 20_000
OPEN_SECONDS = 5.0
PING_SECONDS = 10.0


class Far:
    """Says which tunnels are here, and keeps connections to the servers that have others."""

    def __init__(self, desk: Desk, tunnels: Tunnels) -> None:
        self._desk = desk
        self._tunnels = tunnels
        self._claimed: dict[str, tuple[TunnelLine, int]] = {}
        self._peers: dict[str, _Peer] = {}

    async def watch(self) -> None:
        """Go on for ever; a sole server has nobody to tell or to ask."""
        try:
            while not self._desk.world.sole_writer:
                try:
                    await self._claim()
                    await self._look()
                except (AnchorError, UnknownOutcome) as error:
                    log.warning("whose tunnels are where is not known", error=str(error))
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for peer in self._peers.values():
                peer.close()

    async def _claim(self) -> None:
        world = self._desk.world
        now = world.clock.now()
        for node in set(self._claimed) - set(self._tunnels.nodes):
            await lay_down(world.store, DUTY + node, holder=world.server, now=now)
            del self._claimed[node]
        for node in self._tunnels.nodes:
            line = self._tunnels.here(node)
            known, at = self._claimed.get(node, (None, 0))
            if line is None or (known is line and now - at < RENEW_MS):
                continue
            # The newest tunnel of a node is the one that works; only its holder ever takes the duty by force.
            await take(
                world.store, DUTY + node, holder=world.server, now=now, lease_ms=LEASE_MS,
                note=self._desk.peer_url, by_force=known is not line,
            )  # fmt: skip
            self._claimed[node] = (line, now)

    async def _look(self) -> None:
        world = self._desk.world
        wanted = {one.node for app in world.apps.all() for one in routable(app)} - set(self._tunnels.nodes)
        found: dict[str, str] = {}
        if wanted:
            now = world.clock.now()
            for duty in await world.store.duties():
                node = duty.name.removeprefix(DUTY)
                if node in wanted and node != duty.name and duty.until > now and duty.holder != world.server:
                    found[node] = duty.note
        self._keep_peers(set(found.values()))
        self._tunnels.far = {node: _Way(self._peers[url], node) for node, url in found.items()}

    def _keep_peers(self, urls: Iterable[str]) -> None:
        wanted = set(urls)
        for url in set(self._peers) - wanted:
            self._peers.pop(url).close()
        for url in wanted - set(self._peers):
            self._peers[url] = _Peer(url, self._desk.gate.peer_token)


class _Way:
    """The way to one node, through another server."""

    def __init__(self, peer: "_Peer", node: str) -> None:
        self._peer = peer
        self._node = node

    def open(self, app: int, generation: int, sink: Sink) -> Stream | None:
        """A stream to a replica on the node; None while the other server cannot be reached."""
        end = self._peer.end
        return None if end is None or end.is_full else end.open(Target(app, generation, self._node), sink)


class _Peer:
    """The connection to another server; `end` is its tunnel while it is open."""

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self._url = url
        self._token = token
        self.end: TunnelEnd | None = None
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Hang up."""
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            try:
                await self._connect()
            except (OSError, ConnectionClosed, InvalidHandshake, InvalidURI, TimeoutError, TunnelBroken) as error:
                log.warning("another server passes nothing on", url=self._url, error=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def _connect(self) -> None:
        address = "ws" + self._url.removeprefix("http") + "/relay"
        async with connect(
            address,
            additional_headers={"Authorization": f"Bearer {self._token()}"},
            compression=None,
            max_size=MESSAGE_BYTES_READ_MAX,
            open_timeout=OPEN_SECONDS,
            close_timeout=1,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            proxy=None,
        ) as connection:
            wake = asyncio.Event()
            end = self.end = TunnelEnd(wake.set)
            steps = [asyncio.create_task(step) for step in (_read(connection, end), _write(connection, end, wake))]
            try:
                done, _ = await asyncio.wait(steps, return_when=asyncio.FIRST_COMPLETED)
                for step in done:
                    step.result()
            finally:
                self.end = None
                end.lose()
                for step in steps:
                    step.cancel()
                await asyncio.gather(*steps, return_exceptions=True)


async def _read(connection: ClientConnection, end: TunnelEnd) -> None:
    while True:
        message = await connection.recv()
        if isinstance(message, str):
            raise TunnelBroken("text where messages are binary")
        end.receive(message)


async def _write(connection: ClientConnection, end: TunnelEnd, wake: asyncio.Event) -> None:
    while True:
        await wake.wait()
        wake.clear()
        while message := end.next_message():
            await connection.send(message)
