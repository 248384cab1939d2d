"""What runs: servers, agents and engines as real processes, with a proxy of ours on every line between them."""

import asyncio
import contextlib
import functools
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import httpx
from tests.chaos.abilities import clock_environment
from tests.chaos.proxy import Proxy
from tests.engines.mongo import MongoEngine, running_mongo
from tests.engines.valkey import Engine as Valkey
from tests.engines.valkey import running_valkey
from tests.system.fleet import Program, free_port

LEASE_SECONDS = 5.0
START_SECONDS = 120.0
SHARED_MEMORY = Path("/dev/shm")


class Part(Protocol):
    """A process that can be struck."""

    @property
    def name(self) -> str:
        """What it is called in a plan."""

    @property
    def clock(self) -> Path | None:
        """The file that sets its wall clock, where there is one."""

    @property
    def running(self) -> int | None:
        """The id of its process, None while it is down."""

    def kill(self) -> None:
        """kill -9."""

    def start(self) -> None:
        """Start it again on the same data."""


class AnchorPart(Program):
    """A server or an agent. `clock` is the file that sets its wall clock, where this machine can do that."""

    def __init__(self, name: str, directory: Path, arguments: list[str], *, can_set_clock: bool, **env: str) -> None:
        super().__init__(directory / f"{name}.log", *arguments, lease_seconds=LEASE_SECONDS)
        self.name = name
        self.clock = directory / f"{name}.clock" if can_set_clock else None
        self._environment |= env
        if self.clock is not None:
            self._environment |= clock_environment(self.clock)

    @property
    def running(self) -> int | None:
        """The id of its process, None while it is down."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def kill(self) -> None:
        """kill -9; what libfaketime shared with its children is removed, which it cannot do itself any more."""
        pid = self.running
        super().kill()
        if pid is not None and self.clock is not None:
            for left in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
                (SHARED_MEMORY / left).unlink(missing_ok=True)

    @property
    def exit_code(self) -> int | None:
        """What it ended with, None while it runs."""
        return None if self.process is None else self.process.poll()

    def join_with(self, token: str) -> None:
        """Start for the first time, with a join token."""
        plain = self._arguments
        self._arguments = [*plain, "--token", token]
        self.start()
        self._arguments = plain


class EnginePart:
    """Valkey or the MongoDB wire emulator."""

    clock: Path | None = None

    def __init__(self, name: str, engine: Valkey | MongoEngine, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self._engine = engine
        self._pid: int | None = engine.pid

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._engine.port

    @property
    def running(self) -> int | None:
        """The id of its process, None while it is down."""
        return self._pid

    def kill(self) -> None:
        """kill -9."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGCONT)
            self._engine.kill()
            self._pid = None

    def start(self) -> None:
        """Start it again on the same port and directory."""
        self._engine.start()
        self._pid = self._engine.pid

    def forget(self) -> None:
        """Throw away what it keeps; it has to be down."""
        shutil.rmtree(self.directory)


class Cluster:
    """Everything of one run in one directory; servers keep their data in its folder `disk`, which may be a small one.

    `lines` are the proxies: one for each agent, one for the clients, and for each server one to each engine.
    """

    def __init__(self, directory: Path, *, engines: str, agents: int, slots: int, can_set_clock: bool) -> None:
        self.directory = directory
        self.disk = directory / "disk"
        self.servers: list[AnchorPart] = []
        self.agents: list[AnchorPart] = []
        self.engines: list[EnginePart] = []
        self.lines: dict[str, Proxy] = {}
        self.ports = [free_port() for _ in range(1 if engines == "embedded" else 2)]
        self._shared = engines == "shared"
        self._numbers = agents, slots
        self._can_set_clock = can_set_clock
        self._ends = ExitStack()

    @property
    def parts(self) -> list[Part]:
        """Every process."""
        return [*self.servers, *self.agents, *self.engines]

    @property
    def url(self) -> str:
        """Where clients ask: the proxy before all servers."""
        return f"http://127.0.0.1:{self.lines['clients'].port}"

    async def open(self) -> None:
        """Start everything; returns when all agents are online."""
        agents, slots = self._numbers
        self.disk.mkdir(exist_ok=True)
        if self._shared:
            await asyncio.to_thread(self._start_engines)
        await self._line("clients", self.ports)
        for at, port in enumerate(self.ports):
            self.servers.append(await self._server(f"server{at}", port))
            await asyncio.to_thread(self.servers[at].start)
        await self.wait_until_ready()
        for at in range(agents):
            name = f"agent{at}"
            line = await self._line(name, self.ports)
            arguments = ["agent", f"http://127.0.0.1:{line.port}", "--data", str(self.directory / name)]
            agent = AnchorPart(
                name,
                self.directory,
                [*arguments, "--slots", str(slots), "--name", name],
                can_set_clock=self._can_set_clock,
            )
            self.agents.append(agent)
            agent.join_with(await self._join_token())
        await self._wait_for(lambda: self._are_online(agents), "not all agents came online")

    async def wait_until_ready(self) -> None:
        """Until every server serves requests."""
        for port in self.ports:
            await self._wait_for(functools.partial(self._is_ready, port), f"the server on port {port} was not ready")

    async def close(self) -> None:
        """End everything."""
        for part in [*self.agents, *self.servers]:
            await asyncio.to_thread(part.kill)
        for line in self.lines.values():
            await line.close()
        await asyncio.to_thread(self._ends.close)

    def sayings(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {part.name}\n{part.said()}" for part in [*self.servers, *self.agents])

    def _start_engines(self) -> None:
        mongo = self._ends.enter_context(running_mongo(self.directory / "mongo"))
        valkey = self._ends.enter_context(running_valkey(self.directory / "valkey"))
        if isinstance(mongo, MongoEngine):
            self.engines.append(EnginePart("mongo", mongo, self.directory / "mongo"))
        self.engines.append(EnginePart("valkey", valkey, self.directory / "valkey"))

    async def _server(self, name: str, port: int) -> AnchorPart:
        env = {"ANCHOR_LOG_FORMAT": "json"}
        if self._shared:
            for engine in self.engines:
                line = await self._line(f"{name} to {engine.name}", [engine.port])
                if engine.name == "mongo":
                    env["ANCHOR_STORE"] = f"mongodb://127.0.0.1:{line.port}/anchor?directConnection=true"
                else:
                    env["ANCHOR_QUEUE"] = f"redis://127.0.0.1:{line.port}/0"
            env["ANCHOR_SECRET"] = "c" * 32 + "haos"
        arguments = ["server", "--port", str(port), "--data", str(self.disk / name)]
        return AnchorPart(name, self.directory, arguments, can_set_clock=self._can_set_clock, **env)

    async def _line(self, name: str, targets: list[int]) -> Proxy:
        self.lines[name] = Proxy(targets)
        await self.lines[name].open()
        return self.lines[name]

    async def _join_token(self) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"http://127.0.0.1:{self.ports[0]}/api/nodes/join-tokens", json={})
            token: str = answer.raise_for_status().json()["token"]
            return token

    async def _is_ready(self, port: int) -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            return (await client.get(f"http://127.0.0.1:{port}/ready")).status_code == 200

    async def _are_online(self, count: int) -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            nodes = (await client.get(f"http://127.0.0.1:{self.ports[0]}/api/nodes")).json()
            return [node["status"] for node in nodes].count("online") == count

    async def _wait_for(self, holds: Callable[[], Awaitable[bool]], otherwise: str) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                while True:
                    with contextlib.suppress(httpx.TransportError):
                        if await holds():
                            return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{otherwise} within {START_SECONDS:g} s:\n{self.sayings()}") from None
