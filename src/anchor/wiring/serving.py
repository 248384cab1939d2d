"""A server tied together: its engines, its world, its gate and its life; and the same with an agent of its own."""

import asyncio
import contextlib
import secrets
import shutil
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from anchor import __version__
from anchor.adapters.files.parts import FileParts
from anchor.adapters.local.clock import SystemChance
from anchor.agent import identity
from anchor.config import Settings
from anchor.core.access import Role
from anchor.core.attempt import Reason
from anchor.core.errors import Conflict
from anchor.core.node import Node, node_id_from
from anchor.failpoints import reached
from anchor.orchestrator.apps.refresh import reread
from anchor.orchestrator.world import World
from anchor.ports.store import Store
from anchor.server.about import About
from anchor.server.app import run as run_server
from anchor.server.app_secrets import AppSecrets
from anchor.server.desk import Desk
from anchor.server.gate import Gate, digest_of
from anchor.server.lines import Lines
from anchor.server.loops import Retention, mind_the_secret
from anchor.wiring.engines import engines
from anchor.wiring.own_agent import keep_agent
from anchor.wiring.program import set_up_logs
from anchor.wiring.settings_shown import shown

Started = Callable[[str], Awaitable[None]]
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
CLOCK_SECONDS = 60
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


async def serve(settings: Settings, *, started: Started | None = None) -> None:
    """Run a server until cancelled; `started` is awaited with its URL once it listens and is ready."""
    await _serve(settings, started or _nothing)


async def up(settings: Settings, *, started: Started | None = None) -> None:
    """Run a server and an agent of its own, each in a process of its own, until cancelled; the agent stops first, so
    that what it gives back is recorded."""
    agents: list[asyncio.Task[None]] = []

    async def with_agent(url: str) -> None:
        agents.append(asyncio.create_task(keep_agent(settings, url)))
        if started is not None:
            await started(url)

    server = asyncio.create_task(_serve(settings, with_agent, enrol=True))
    try:
        await asyncio.shield(server)
    finally:
        for agent in agents:
            agent.cancel()
        await asyncio.gather(*agents, return_exceptions=True)
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


async def _serve(settings: Settings, started: Started, *, enrol: bool = False) -> None:
    set_up_logs(settings)
    listener = _listen(settings)
    with contextlib.closing(listener):
        port = listener.getsockname()[1]
        url = f"http://{'127.0.0.1' if settings.host in LOOPBACK | {'0.0.0.0', '::'} else settings.host}:{port}"
        async with engines(settings) as opened:
            store, clock = opened.store, opened.clock
            secret = _secret(settings)
            app_secrets = AppSecrets(secret)
            lines = Lines(
                store,
                secrets=app_secrets,
                lease_seconds=settings.lease_seconds,
                heartbeat_seconds=settings.heartbeat_seconds,
            )
            world = World(
                store=store,
                ready=opened.ready,
                bus=opened.bus,
                blobs=opened.blobs,
                links=lines,
                clock=clock,
                chance=SystemChance(),
                keys=opened.keys,
                lease_ms=int(settings.lease_seconds * 1000),
                heartbeat_ms=int(settings.heartbeat_seconds * 1000),
                server=opened.server,
                sole_writer=settings.is_embedded,
                spot_check_share=settings.spot_check_share,
            )
            open_locally = settings.host in LOOPBACK
            gate = Gate(
                store,
                clock,
                opened.buckets,
                secret=secret,
                open_locally=open_locally,
                requests_per_second=settings.requests_per_second,
                own_url=settings.public_url,
            )
            if not open_locally:
                await _ensure_admin_token(settings, gate, store)
            if enrol:
                await _enrol_local_agent(settings, store, clock.now())
            desk = Desk(
                world=world,
                gate=gate,
                parts=FileParts(settings.data / "parts"),
                secrets=app_secrets,
                scratch=_scratch_in(settings),
                version=__version__,
                url=settings.public_url.rstrip("/") or _url_for_others(settings.host, port),
                peer_url=settings.peer_url.rstrip("/") or _url_for_others(settings.host, port),
                apps_domain=settings.apps_domain,
                started_at=clock.now(),
                evidence_ms=int(settings.evidence_days * DAY_MS),
                about=About(
                    settings=shown(settings),
                    store="SQLite, in the data directory" if settings.is_embedded else "MongoDB",
                    queue="in this server" if settings.is_alone else "Redis",
                    blobs="files in the data directory" if settings.is_embedded else "MongoDB",
                    data=settings.data,
                    queue_trouble=opened.trouble,
                ),
            )
            _mind_the_clock(desk, opened.newest_ms)
            await reread(world)  # before any node can be told what to run: what is not remembered it would stop
            mind_the_secret(desk)
            await run_server(
                desk,
                lines,
                listener,
                retention=Retention(
                    tasks_ms=int(settings.retention_days * DAY_MS),
                    runs_ms=int(settings.graph_retention_hours * HOUR_MS),
                    cases_ms=desk.evidence_ms,
                ),
                number=opened.number,
                queue_trouble=opened.trouble,
                started=lambda: started(url),
            )


def _mind_the_clock(desk: Desk, newest_ms: int) -> None:
    """Say so where the machine's clock lags behind what was written down before; time then goes on from there."""
    behind_seconds = (newest_ms - time.time_ns() // 1_000_000) // 1000
    if behind_seconds > CLOCK_SECONDS:
        message = f"This machine's clock is {behind_seconds:,} s behind the newest time kept here."
        hint = "Set the clock and start again; until then times go on from that one."
        desk.trouble(Reason("clock_behind", message, hint))
        structlog.get_logger("anchor.server").warning(message, hint=hint)


def _listen(settings: Settings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise Conflict(
            f"The server cannot listen on {settings.host}:{settings.port}: {error.strerror or error}.",
            hint="Something else may use this port, or Anchor, started before: stop that, or take another port with "
            f"`--port {settings.port + 1}`.",
            code="address_in_use",
        ) from None


def _url_for_others(host: str, port: int) -> str:
    """How other machines call a server that listens on `host`: on every address, by the one its traffic leaves from."""
    if host in {"0.0.0.0", "::"}:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))  # a datagram socket sends nothing by connecting
                host = probe.getsockname()[0]
            except OSError:
                host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _secret(settings: Settings) -> bytes:
    """The key that node tokens are signed with: as configured, or one made here on first use."""
    if settings.secret is not None:
        return settings.secret.encode()
    path = settings.data / "secret"
    if not path.exists():
        identity.write_privately(path, secrets.token_hex(32).encode())
        reached("serving.secret_written")
    return path.read_bytes()


def _scratch_in(settings: Settings) -> Path:
    """A directory for files that no name outlives this server; what an earlier one left there is removed."""
    path = settings.data / "scratch"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


async def _ensure_admin_token(settings: Settings, gate: Gate, store: Store) -> None:
    """On an address others can reach there has to be an admin; its token is in a file only the owner can read."""
    path = settings.admin_token_file
    if path.exists() and await store.key(digest_of(path.read_text().strip())) is not None:
        return
    token, _ = await gate.new_key("admin", Role.ADMIN, seconds=None)
    identity.write_privately(path, token.encode())
    reached("serving.admin_token_written")


async def _enrol_local_agent(settings: Settings, store: Store, now: int) -> None:
    """The machine's own agent needs no join token: whoever starts both has the right to."""
    directory = settings.data / "agent"
    known = identity.known_in(directory)
    if known is not None and await store.node(known.node) is not None:
        return
    public_key = identity.public_key_of(identity.private_key_in(directory))
    name = settings.node_name or socket.gethostname()
    while True:
        node = Node(id=node_id_from(name, secrets.token_bytes(12)), owner="local", public_key=public_key, joined_at=now)
        if await store.insert_node(node):
            reached("serving.local_node_inserted")
            identity.remember(directory, node.id)
            return


async def _nothing(_: str) -> None:
    return
