"""The one file that picks adapters and ties everything together: the server, the agent, and both in one command."""

import asyncio
import contextlib
import io
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from anchor import __version__
from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.local.bus import LocalBus
from anchor.adapters.local.clock import SystemChance, SystemClock
from anchor.adapters.local.ready import LocalReady
from anchor.adapters.sqlite.store import SqliteStore
from anchor.agent import identity
from anchor.agent.run import run as run_agent_program
from anchor.config import Settings
from anchor.core.access import Role
from anchor.core.attempt import Reason
from anchor.core.errors import Conflict
from anchor.core.ids import KeySequence, born_ms
from anchor.core.node import Node, node_id_from
from anchor.orchestrator.world import World
from anchor.ports.store import Store
from anchor.server.app import run as run_server
from anchor.server.desk import Desk
from anchor.server.gate import Gate, digest_of
from anchor.server.lines import Lines

Started = Callable[[str], Awaitable[None]]
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SERVER_NUMBER = 0
"""The embedded store belongs to one server; several are numbered by their shared store."""
AGENT_STOP_SECONDS = 10.0
CLOCK_SECONDS = 60
RESTART_SECONDS, RESTART_SECONDS_MAX = 1.0, 30.0
T = TypeVar("T")


def set_up_logs(settings: Settings) -> None:
    """Log to standard error, as text or as one JSON object a line."""
    output: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            output,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program on the fastest event loop this machine has."""
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415 - there is none for Windows

        return uvloop.run(main)
    return asyncio.run(main)


async def serve(settings: Settings, *, started: Started | None = None) -> None:
    """Run a server until cancelled; `started` is awaited with its URL once it listens and is ready."""
    await _serve(settings, started or _nothing)


async def run_agent(
    settings: Settings, url: str, *, join_token: str | None = None, stop: asyncio.Event | None = None
) -> None:
    """Run an agent until cancelled or `stop` is set; its state is kept in the data directory's `agent`."""
    set_up_logs(settings)
    await run_agent_program(
        url,
        settings.data / "agent",
        slots=settings.slots or os.cpu_count() or 1,
        labels=settings.labels,
        name=settings.node_name or socket.gethostname(),
        join_token=join_token,
        stop=stop,
    )


async def up(settings: Settings, *, started: Started | None = None) -> None:
    """Run a server and an agent of its own, each in a process of its own, until cancelled; the agent stops first, so
    that what it gives back is recorded."""
    agents: list[asyncio.Task[None]] = []

    async def with_agent(url: str) -> None:
        agents.append(asyncio.create_task(_keep_agent(settings, url)))
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
        store = await SqliteStore.open(settings.data)
        try:
            clock = SystemClock(not_before_ms=born_ms(store.last_key))
            lease_ms = int(settings.lease_seconds * 1000)
            lines = Lines(store, lease_seconds=settings.lease_seconds, heartbeat_seconds=settings.heartbeat_seconds)
            world = World(
                store=store,
                ready=LocalReady(),
                bus=LocalBus(),
                blobs=FileBlobs(settings.data / "blobs"),
                links=lines,
                clock=clock,
                chance=SystemChance(),
                keys=KeySequence(SERVER_NUMBER, last_key=store.last_key),
                lease_ms=lease_ms,
                heartbeat_ms=int(settings.heartbeat_seconds * 1000),
                reap_after=clock.now() + lease_ms,
            )
            open_locally = settings.host in LOOPBACK
            gate = Gate(store, clock, secret=_secret(settings), open_locally=open_locally)
            if not open_locally:
                await _ensure_admin_token(settings, gate, store)
            if enrol:
                await _enrol_local_agent(settings, store, clock.now())
            desk = Desk(
                world=world,
                gate=gate,
                version=__version__,
                url=_url_for_others(settings.host, port),
                started_at=clock.now(),
            )
            _mind_the_clock(desk, born_ms(store.last_key))
            await run_server(
                desk,
                lines,
                listener,
                retention_ms=int(settings.retention_days * 86_400_000),
                started=lambda: started(url),
            )
        finally:
            await store.close()


def _mind_the_clock(desk: Desk, newest_ms: int) -> None:
    """Say so where the machine's clock lags behind what was written down before; time then goes on from there."""
    behind_seconds = (newest_ms - time.time_ns() // 1_000_000) // 1000
    if behind_seconds > CLOCK_SECONDS:
        message = f"This machine's clock is {behind_seconds:,} s behind the newest task kept here."
        hint = "Set the clock and start again; until then times go on from that task's."
        desk.trouble(Reason("clock_behind", message, hint))
        structlog.get_logger("anchor.server").warning(message, hint=hint)


def _listen(settings: Settings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise Conflict(
            f"The server cannot listen on {settings.host}:{settings.port}: {error.strerror or error}.",
            hint="Something else may use this port; choose another one with --port, or stop what runs there.",
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
        _write_privately(path, secrets.token_hex(32))
    return path.read_bytes()


async def _ensure_admin_token(settings: Settings, gate: Gate, store: Store) -> None:
    """On an address others can reach there has to be an admin; its token is in a file only the owner can read."""
    path = settings.admin_token_file
    if path.exists() and await store.key(digest_of(path.read_text().strip())) is not None:
        return
    token, _ = await gate.new_key("admin", Role.ADMIN, seconds=None)
    _write_privately(path, token)


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
            identity.remember(directory, node.id)
            return


class _LocalAgent(msgspec.Struct, frozen=True):
    """What the server tells its own agent's process, on the first line of its standard input."""

    url: str
    settings: Settings


async def _keep_agent(settings: Settings, url: str) -> None:
    """Keep the agent's process running; it stops when its standard input closes, so it cannot outlive this one."""
    wish = msgspec.json.encode(_LocalAgent(url, settings), enc_hook=str)
    wait = RESTART_SECONDS
    while True:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "anchor.wiring", stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        try:
            if process.stdin is not None:
                process.stdin.write(wish + b"\n")
            await process.wait()
            await asyncio.sleep(wait)
            wait = min(2 * wait, RESTART_SECONDS_MAX)
        finally:
            if process.returncode is None:
                process.terminate()
                try:
                    async with asyncio.timeout(AGENT_STOP_SECONDS):
                        await process.wait()
                except TimeoutError:
                    process.kill()
                    await process.wait()


async def _local_agent() -> None:
    loop = asyncio.get_running_loop()
    parent = io.FileIO(sys.stdin.fileno(), closefd=False)
    line = await loop.run_in_executor(None, parent.readline)
    wish = msgspec.json.decode(line, type=_LocalAgent, dec_hook=lambda kind, value: kind(value))
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    threading.Thread(target=_wait_for_end, args=(parent, loop, stop), daemon=True).start()
    await run_agent(wish.settings, wish.url, stop=stop)


def _wait_for_end(parent: io.FileIO, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    parent.read(1)
    with contextlib.suppress(RuntimeError):  # the agent has stopped already
        loop.call_soon_threadsafe(stop.set)


def _write_privately(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


async def _nothing(_: str) -> None:
    return


if __name__ == "__main__":
    run(_local_agent())
