"""The life of one replica: built, started in its cell, watched, started again, and ended with care."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from socket import socket
from typing import Final

import structlog

from anchor.agent.apps import endings
from anchor.agent.apps.app_log import AppLog
from anchor.agent.apps.built import Built, CannotBuild
from anchor.agent.apps.cells import make_place, program_of
from anchor.agent.apps.ground import Failed, Ground, NotHosted, State
from anchor.agent.apps.local_ports import LocalPort, PortRefused
from anchor.agent.apps.running import END_SECONDS, Running, door_to
from anchor.agent.files.removal import remove
from anchor.agent.parcels import NotTaken
from anchor.agent.sandbox.supervise import held_by, supervise
from anchor.agent.threads import in_thread
from anchor.core.app import RELEASE, WEB
from anchor.core.attempt import Reason
from anchor.core.errors import AnchorError
from anchor.wire.link import HostItem, ReplicaStatus

log = structlog.get_logger("anchor.agent")
RELEASE_SECONDS: Final = 600.0
"""The most the process RELEASE may take."""
BACKOFF_SECONDS: Final = (0.2, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""The pauses before it is started again; the last one for all further times."""
ENDS_MAX: Final = 5
ENDS_WITHIN_SECONDS: Final = 60.0
STABLE_SECONDS: Final = 30.0
"""Whoever was healthy for this long begins again with a clean slate."""


class Replica:
    """One generation of an app here. It begins to live when it is made; `ended` is called once all of it is gone."""

    def __init__(self, item: HostItem, ground: Ground, ended: Callable[["Replica"], None]) -> None:
        self.item = item
        self.log = AppLog(item.app, item.generation)
        self.state: State = "building"
        self._since = _now()
        self._restarts = 0
        self._reason: Reason | None = None
        self._lock = ""
        self._prepared = False
        self._ground = ground
        self._folder = ground.folder / f"{item.app}-{item.generation}"
        self._port: LocalPort | None = None
        self._running: Running | None = None
        self._cpu_seen = (0.0, 0.0)
        self._streams = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._hurry = asyncio.Event()
        self._deadline = 0.0
        self._bringing: asyncio.Task[None] | None = None
        self._life = asyncio.create_task(self._live())
        self._retiring: asyncio.Task[None] | None = None
        self._ended = ended

    @property
    def key(self) -> tuple[int, int]:
        """App and generation."""
        return self.item.app, self.item.generation

    def update(self, item: HostItem) -> None:
        """What the server says of it now: whether it serves."""
        self.item = item
        self._settle_port()

    def retire(self, drain_seconds: float, end_seconds: float = END_SECONDS) -> None:
        """End it: once nobody is being answered any more, or when the time for that is over. Told again with less
        time it hurries."""
        if self._retiring is None:
            self._retiring = asyncio.create_task(self._retire(drain_seconds, end_seconds))
        elif drain_seconds <= 0:
            self._hurry.set()

    async def gone(self) -> None:
        """Wait until a replica that was told to end has ended."""
        if self._retiring is not None:
            await asyncio.wait([self._retiring])

    async def connect(self) -> socket:
        """A connection to its port. NotHosted, or OSError where it does not answer."""
        running = self._running
        if running is None or self.state not in ("healthy", "unhealthy", "draining"):
            raise NotHosted(f"Generation {self.item.generation} of {self.item.name} does not take connections here.")
        return await running.connect()

    def streams(self, delta: int) -> None:
        """So many connections more are under way to it."""
        self._streams += delta
        if self._streams > 0:
            self._quiet.clear()
        else:
            self._quiet.set()

    def status(self) -> ReplicaStatus:
        """How it is doing. CPU is the mean since the last time somebody asked."""
        cpu, memory = 0.0, 0.0
        if self._running is not None and (watch := self._running.watch) is not None:
            now, (then, before) = time.monotonic(), self._cpu_seen
            self._cpu_seen = (now, watch.cpu_seconds)
            memory = watch.memory_mib
            if now > then > 0:
                cpu = max(0.0, (watch.cpu_seconds - before) / (now - then))
        return ReplicaStatus(
            app=self.item.app,
            generation=self.item.generation,
            state=self.state,
            since=self._since,
            restarts=self._restarts,
            reason=self._reason,
            lock=self._lock,
            prepared=self._prepared,
            cpu=round(cpu, 3),
            memory_mib=round(memory, 1),
        )

    def _become(self, state: State, reason: Reason | None = None) -> None:
        if self._retiring is not None and state not in ("draining", "stopped"):
            return
        if state != self.state:
            self._since = _now()
        self.state = state
        self._reason = reason
        self._settle_port()
        self._ground.changed()

    def _settle_port(self) -> None:
        """Its port on this machine leads to it from when the server has it serve on, for as long as it is healthy: a
        server that did not hear from this node says that it does not serve, and is about to hear that it does."""
        if self._port is None:
            return
        if self.state != "healthy":
            self._port.serving.pop(self.item.generation, None)
        elif self.item.serves:
            self._port.serving[self.item.generation] = self._opened

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[socket]:
        try:
            connected = await self.connect()
        except NotHosted as error:
            raise OSError(error.message) from error
        self.streams(1)
        try:
            with connected:
                yield connected
        finally:
            self.streams(-1)

    async def _live(self) -> None:
        try:
            await self._lived()
        except (Failed, CannotBuild, PortRefused) as failure:
            self._fail(failure.reason)
        except AnchorError as error:
            self._fail(Reason(error.code, error.message, error.hint))
        except OSError as error:
            what = f"This node could not run it: {error.strerror or error}."
            self._fail(Reason("node_trouble", what, "Look at the node's disk and at its agent's log."))
        except Exception:
            log.exception("a replica could not be run", app=self.item.name, generation=self.item.generation)
            what = "The agent met an error of its own while it ran this."
            self._fail(Reason("internal_error", what, "The log of the node's agent has it; tell the maintainers."))

    def _fail(self, reason: Reason) -> None:
        self._say(f"given up: {endings.in_short(reason)}")
        self._become("failed", reason)

    async def _lived(self) -> None:
        item, ground = self.item, self._ground
        if item.config.network and not ground.network:
            what = "The owner of this node does not let apps use the network."
            raise Failed(Reason("network_forbidden", what, "Another node may; the owner can allow it (allow_network)."))
        given = ground.opened(item.env)
        with ground.room(item.config):
            async with self._local_port(), ground.builds.kept(item, self._emit) as built:
                if built.lock is not None:
                    self._bringing = asyncio.create_task(self._bring(built.lock))
                try:
                    if item.prepares:
                        await self._prepare(built, given)
                    await self._keep_up(built, given)
                finally:
                    if self._bringing is not None:
                        self._bringing.cancel()

    @asynccontextmanager
    async def _local_port(self) -> AsyncIterator[None]:
        """Its port on this machine, held before anything is built for it."""
        item = self.item
        wanted = item.config.port if item.process == WEB else None
        claim = self._ground.ports.claimed(wanted, item.app, item.name) if wanted is not None else nullcontext()
        async with claim as self._port:
            try:
                yield
            finally:
                if self._port is not None:
                    self._port.serving.pop(item.generation, None)
                self._port = None

    async def _bring(self, lock: bytes) -> None:
        try:
            self._lock = await self._ground.keep(lock)
        except NotTaken as error:
            self._say(f"the versions it settled on could not be kept: {error.message}")
        self._ground.changed()

    async def _prepare(self, built: Built, given: dict[str, str]) -> None:
        """Run the process RELEASE to its end."""
        command = built.processes.get(RELEASE)
        if command is not None:
            self._say(f"release: {command}")
            place = await in_thread(make_place, self._folder, built.source)
            self.log.forget_tail()
            program = program_of(
                self.item, built, place, self._ground.confinement, None, given, command, RELEASE_SECONDS
            )
            ended = await supervise(self._ground.confinement, program, self._write)
            self.log.finish()
            if ended.code != 0 or ended.cut is not None or ended.never_started:
                reason = endings.release_failed(ended, self.item.config, self.log.tail(), RELEASE_SECONDS)
                raise Failed(reason)
        self._prepared = True
        self._ground.changed()

    async def _keep_up(self, built: Built, given: dict[str, str]) -> None:
        """Start it, again and again; raises Failed once that is enough."""
        item = self.item
        command = built.processes.get(item.process)
        if command is None:
            names = ", ".join(sorted(built.processes)) or "none"
            what = f"The source has no process {item.process}; it has {names}."
            raise Failed(Reason("no_process", what, "Name it in a Procfile or in config.processes."))
        ends: deque[float] = deque()
        in_a_row = 0
        self._begin()
        while self._retiring is None:
            before = None if self._reason is None else endings.crash_loop(len(ends), ENDS_WITHIN_SECONDS, self._reason)
            reason, healthy_seconds = await self._once(built, given, command, before)
            now = time.monotonic()
            if self._retiring is not None:
                return
            if healthy_seconds >= STABLE_SECONDS:
                ends.clear()
                in_a_row = 0
            ends.append(now)
            while ends[0] < now - ENDS_WITHIN_SECONDS:
                ends.popleft()
            if len(ends) >= ENDS_MAX or (healthy_seconds == 0 and now > self._deadline):
                raise Failed(endings.crash_loop(len(ends), ENDS_WITHIN_SECONDS, reason))
            pause = BACKOFF_SECONDS[min(in_a_row, len(BACKOFF_SECONDS) - 1)]
            in_a_row += 1
            self._restarts += 1
            self._say(f"{endings.in_short(reason)} It is started again in {pause:g} s.")
            self._begin(reason, anew=healthy_seconds > 0)
            await asyncio.sleep(pause)

    def _begin(self, reason: Reason | None = None, *, anew: bool = True) -> None:
        if anew:
            self._deadline = time.monotonic() + self.item.config.start_seconds
        self._become("starting", reason)

    async def _once(
        self, built: Built, given: dict[str, str], command: str, before: Reason | None
    ) -> tuple[Reason, float]:
        """Run it to its end: why, and for how long it was healthy."""
        item, config, confinement = self.item, self.item.config, self._ground.confinement
        place = await in_thread(make_place, self._folder, built.source)
        self.log.forget_tail()
        door = door_to(config, confinement) if item.process == WEB else None
        port = "" if door is None else f"PORT={door.port}, "
        cores = f"{config.cpu:g} core{'' if config.cpu == 1 else 's'} ({held_by(confinement)})"
        what = f"{item.process}.{item.index} of release {item.release}"
        self._say(f"starting {what}: {port}{config.ram} of memory, {cores}")
        self._cpu_seen = (time.monotonic(), 0.0)
        self._running = Running(
            confinement,
            config,
            program_of(item, built, place, confinement, door, given, command),
            door,
            self.log,
            write=self._write,
            became=self._become,
            deadline=self._deadline,
            before=before,
        )
        try:
            reason = await self._running.to_its_end()
            return reason, self._running.healthy_seconds
        finally:
            self._running = None

    async def _retire(self, drain_seconds: float, end_seconds: float) -> None:
        if self.state in ("healthy", "unhealthy"):
            self._become("draining")
            waits = [asyncio.ensure_future(event.wait()) for event in (self._quiet, self._hurry)]
            await asyncio.wait(waits, timeout=drain_seconds, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        elif self.state != "failed":
            self._become("draining")
        if self._running is not None:
            self._say("stopping")
            self._running.ask_to_end()
            await asyncio.wait([self._life], timeout=end_seconds)
        self._life.cancel()
        with suppress(asyncio.CancelledError):
            await self._life
        await in_thread(remove, self._folder)
        self._become("stopped")
        self._ended(self)

    def _emit(self, stream: str, text: str) -> None:
        self._write(stream, text)

    def _write(self, stream: str, text: str) -> bool:
        kept = self.log.write(stream, text)
        self._ground.printed()
        return kept

    def _say(self, text: str) -> None:
        self.log.say(text)
        self._ground.printed()


def _now() -> int:
    return time.time_ns() // 1_000_000
