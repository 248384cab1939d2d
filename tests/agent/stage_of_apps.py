"""A node that hosts apps, without a server: what it says is kept, and can be waited for."""

import asyncio
import http.client
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from anchor.agent.apps.built import Built, CannotBuild
from anchor.agent.apps.hosting import Hosting
from anchor.agent.apps.running import Running
from anchor.agent.budget import Budget
from anchor.agent.job import Emit
from anchor.agent.parcels import Parcels
from anchor.agent.runtimes.native.installer import inside_name
from anchor.agent.runtimes.native.toolchains import python_toolchain
from anchor.agent.sandbox.confinement import Confinement, Mount
from anchor.core.app import AppConfig, Plan
from anchor.core.attempt import Reason
from anchor.wire import box
from anchor.wire.link import AppOutput, Chunk, FromAgent, Hosted, HostItem, ReplicaStatus

PATIENCE_SECONDS = 20.0
SERVER = """
import os, signal, socket, sys, threading
signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), os._exit(0)))
threading.stack_size(256 * 1024)
listening = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=100)
sick = []
print("listening", flush=True)

def answer(one):
    with one:
        asked = one.recv(65536)
        if not asked:
            return
        path = asked.split()[1].decode()
        body = (os.environ["ANCHOR_REPLICA"] + " of " + os.environ["ANCHOR_RELEASE"] + " " + path).encode()
        if path == "/sick":
            sick.append(1)
        status = b"500 No" if sick and path == "/health" else b"200 OK"
        head = b"HTTP/1.1 %s\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n" % (status, len(body))
        one.sendall(head + body)

while True:
    threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()
"""
"""Answers every request with its name, release and path. Once /sick was asked for, /health answers 500."""
PYTHON = python_toolchain().program.name


class Sources:
    """Builds nothing: what an app's processes are is looked up by its name."""

    def __init__(self, source: Path, confinement: Confinement, processes: dict[str, dict[str, str]]) -> None:
        self._source = source
        self._confinement = confinement
        self._processes = processes

    @asynccontextmanager
    async def kept(self, item: HostItem, emit: Emit) -> AsyncIterator[Built]:
        emit("stdout", "building\n")
        if item.name not in self._processes:
            raise CannotBuild(Reason("build_failed", "It does not compile."))
        tool = python_toolchain()
        base = Mount(tool.prefix, inside_name(tool.prefix, "/anchor/python"))
        seen = base.seen(self._confinement)
        env = {"LD_LIBRARY_PATH": f"{seen}/lib"} if tool.has_shared_library else {}
        yield Built(
            source=self._source,
            mounts=(base,),
            env=env,
            path=(f"{seen}/bin",),
            lock=None,
            processes=self._processes[item.name],
        )


class Stage:
    """A hosting node and what it has said."""

    def __init__(self, folder: Path, confinement: Confinement, processes: dict[str, dict[str, str]]) -> None:
        source = folder / "source"
        source.mkdir(parents=True)
        (source / "server.py").write_text(SERVER)
        self.key = box.new_private_key()
        self.statuses: list[ReplicaStatus] = []
        self.said: list[Chunk] = []
        self.session = 1
        self.wants_tunnel = False
        self._heard = asyncio.Event()
        self._ids = {name: number for number, name in enumerate(processes, 1)}
        self.hosting = Hosting(
            folder / "agent",
            confinement,
            Sources(source, confinement, processes),
            Budget(4096),
            Parcels(),
            network=True,
            box_key=self.key,
            session=lambda: self.session,
            send=self._send,
            wants_tunnel=self._tunnel,
        )

    def _tunnel(self, wanted: bool) -> None:
        self.wants_tunnel = wanted

    def _send(self, frame: FromAgent) -> None:
        if isinstance(frame, Hosted):
            self.statuses += frame.items
        elif isinstance(frame, AppOutput):
            self.said += frame.items
        self._heard.set()

    def item(self, name: str, generation: int = 1, process: str = "web", config: Any = None, **more: Any) -> HostItem:
        """What a server would send of a replica."""
        release = more.pop("release", 1)
        env = more.pop("env", b"")
        app = self._ids.get(name, 99)
        settings = AppConfig(**{"ram": "128MB", "disk": "64MB", **(config or {})})
        plan = Plan("command", {})
        return HostItem(app, name, process, 0, generation, release, "", "", settings, plan, env, **more)

    def status(self, item: HostItem) -> ReplicaStatus | None:
        """What was said last."""
        mine = [one for one in self.statuses if (one.app, one.generation) == (item.app, item.generation)]
        return mine[-1] if mine else None

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something that was said makes it so."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_so():
                self._heard.clear()
                await self._heard.wait()

    async def until_state(self, item: HostItem, state: str) -> ReplicaStatus:
        """Wait until a replica was said to be in this state."""
        found: list[ReplicaStatus] = []

        def is_so() -> bool:
            now = self.status(item)
            found[:] = [now] if now is not None and now.state == state else []
            return bool(found)

        await self.until(is_so)
        return found[0]

    def log(self, item: HostItem, stream: str | None = None) -> str:
        """All that a replica has printed so far."""
        mine = [one for one in self.said if (one.task, one.attempt) == (item.app, item.generation)]
        return "".join(one.text for one in mine if stream in (None, one.stream))

    async def asked(self, item: HostItem, path: str = "/") -> str:
        """What the replica answers to GET."""
        return await got(await self.hosting.connect(item.app, item.generation), path)


def running_of(stage: Stage, item: HostItem) -> Running:
    """What runs of a replica at the moment."""
    running = stage.hosting._replicas[item.app, item.generation]._running
    assert running is not None
    return running


async def got(connected: socket.socket, path: str = "/") -> str:
    """The body that comes back on a connection."""

    def ask() -> str:
        connected.settimeout(PATIENCE_SECONDS)
        with connected:
            line = http.client.HTTPConnection("localhost")
            line.sock = connected
            line.request("GET", path)
            return line.getresponse().read().decode()

    return await asyncio.to_thread(ask)


async def got_locally(port: int, path: str = "/") -> str:
    """The body that a port of this machine answers."""
    return await got(await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port)), path)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@asynccontextmanager
async def staged(folder: Path, confinement: Confinement, processes: dict[str, dict[str, str]]) -> AsyncIterator[Stage]:
    """A node that hosts until the context is left."""
    stage = Stage(folder, confinement, processes)
    await stage.hosting.prepare()
    telling = asyncio.create_task(stage.hosting.run())
    try:
        yield stage
    finally:
        await stage.hosting.stop()
        telling.cancel()
