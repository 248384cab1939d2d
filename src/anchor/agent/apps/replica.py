"""The life of one replica: built, started in its cell, watched, started again, and ended with care."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from socket import socket
from typing import Final, Literal, Protocol

import msgspec

from anchor.agent.apps import endings, health
from anchor.agent.apps.app_log import AppLog
from anchor.agent.apps.built import Built, CannotBuild
from anchor.agent.apps.cells import make_place, program_of
from anchor.agent.apps.doors import Direct, Door, Inlet, ask_to_end
from anchor.agent.apps.listening import ports_within
from anchor.agent.apps.local_ports import LocalPort, LocalPorts, PortRefused
from anchor.agent.budget import Budget
from anchor.agent.files.removal import remove
from anchor.agent.job import Emit
from anchor.agent.parcels import NotTaken
from anchor.agent.sandbox.confinement import Confinement
from anchor.agent.sandbox.supervise import Ended, Program, held_by, supervise
from anchor.agent.sandbox.watch import Watch
from anchor.agent.threads import in_thread
from anchor.core.app import INNER_PORT, RELEASE, WEB, mib_of
from anchor.core.attempt import Reason
from anchor.core.errors import AnchorError, NotFound
from anchor.wire import box
from anchor.wire.link import HostItem, ReplicaStatus

RELEASE_SECONDS: Final = 600.0
"""The most the process RELEASE may take."""
END_SECONDS: Final = 5.0
"""From SIGTERM to SIGKILL."""
BACKOFF_SECONDS: Final = (0.2, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""The pauses before it is started again; the last one for all further times."""
ENDS_MAX: Final = 5
ENDS_WITHIN_SECONDS: Final = 60.0
STABLE_SECONDS: Final = 30.0
"""Whoever was healthy for this long begins again with a clean slate."""
WORKER_SECONDS: Final = 2.0
"""A process without a port is healthy once it has run for so long."""
UNPRIVILEGED_PORT_MIN: Final = 1024
"""A program in a cell may not listen below: there it is told INNER_PORT, to which its port on the machine leads."""
HINT_SECONDS: Final = 5.0
"""When the log begins to tell of another port that it listens on."""

State = Literal["building", "starting", "healthy", "unhealthy", "draining", "failed", "stopped"]


class NotHosted(NotFound):
    """This generation of this app does not run here, or not any more."""

    code = "not_hosted"


class Builder(Protocol):
    """Makes releases ready to run."""

    def kept(self, item: HostItem, emit: Emit) -> AbstractAsyncContextManager[Built]:
        """What a release is once built; kept while the context is open. CannotBuild."""


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What all replicas of a node share: `folder` holds their directories, `memory` and `disk` are the owner's shares
    (None: the owner has set none), `network` whether they may have the
    machine's, `box_key` opens their variables, `keep` brings a lock to the server and answers its digest, `changed` is
    called when there is news, `printed` when there is something in a log."""

    folder: Path
    confinement: Confinement
    builds: Builder
    memory: Budget
    disk: Budget | None
    ports: LocalPorts
    network: bool
    box_key: bytes
    keep: Callable[[bytes], Awaitable[str]]
    changed: Callable[[], None]
    printed: Callable[[], None]


class _Failed(Exception):
    """The node gives up on the replica."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.message)
        self.reason = reason


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
        self._door: Door | None = None
        self._root = 0
        self._rooted = asyncio.Event()
        self._watch: Watch | None = None
        self._cpu_seen = (0.0, 0.0)
        self._streams = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._hurry = asyncio.Event()
        self._deadline = 0.0
        self._ends: deque[float] = deque()
        self._bringing: asyncio.Task[None] | None = None
        self._life = asyncio.create_task(self._live())
        self._retiring: asyncio.Task[None] | None = None
        self._ended = ended

    @property
    def key(self) -> tuple[int, int]:
        """App and generation."""
        return self.item.app, self.item.generation

    @property
    def is_leaving(self) -> bool:
        """Whether it was told to end."""
        return self._retiring is not None

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
        door = self._door
        if door is None or not self._root or self.state not in ("healthy", "unhealthy", "draining"):
            raise NotHosted(f"Generation {self.item.generation} of {self.item.name} does not take connections here.")
        return await door.connect(self._root)

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
        if (watch := self._watch) is not None:
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
        """Its port on this machine leads to it while it serves."""
        if self._port is None:
            return
        if self.state == "healthy" and self.item.serves:
            self._port.serving[self.item.generation] = self._opened
        else:
            self._port.serving.pop(self.item.generation, None)

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
        except (_Failed, CannotBuild, PortRefused) as failure:
            self._fail(failure.reason)
        except AnchorError as error:
            self._fail(Reason(error.code, error.message, error.hint))
        except OSError as error:
            what = f"This node could not run it: {error.strerror or error}."
            self._fail(Reason("node_trouble", what, "Look at the node's disk and at its agent's log."))

    def _fail(self, reason: Reason) -> None:
        self._say(f"given up: {endings.in_short(reason)}")
        self._become("failed", reason)

    async def _lived(self) -> None:
        item, ground = self.item, self._ground
        if item.config.network and not ground.network:
            what = "The owner of this node does not let apps use the network."
            raise _Failed(
                Reason("network_forbidden", what, "Another node may; the owner can allow it (allow_network).")
            )
        given = _opened_env(item.env, ground.box_key)
        with self._room(), self._local_port():
            async with ground.builds.kept(item, self._emit) as built:
                if built.lock is not None:
                    self._bringing = asyncio.create_task(self._bring(built.lock))
                try:
                    if item.prepares:
                        await self._prepare(built, given)
                    await self._keep_up(built, given)
                finally:
                    if self._bringing is not None:
                        self._bringing.cancel()

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Its memory, and its place on the disk where the owner has set a share, held as long as it lives."""
        config, ground = self.item.config, self._ground
        with _had(ground.memory, config.ram, "memory", "ram"), _had(ground.disk, config.disk, "disk", "disk"):
            yield

    @contextmanager
    def _local_port(self) -> Iterator[None]:
        """Its port on this machine, held before anything is built for it."""
        item = self.item
        wanted = item.config.port if item.process == WEB else None
        claim = self._ground.ports.claimed(wanted, item.app, item.name) if wanted is not None else nullcontext()
        with claim as self._port:
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
                raise _Failed(reason)
        self._prepared = True
        self._ground.changed()

    async def _keep_up(self, built: Built, given: dict[str, str]) -> None:
        """Start it, again and again; raises _Failed once that is enough."""
        item = self.item
        command = built.processes.get(item.process)
        if command is None:
            names = ", ".join(sorted(built.processes)) or "none"
            what = f"The source has no process {item.process}; it has {names}."
            raise _Failed(Reason("no_process", what, "Name it in a Procfile or in config.processes."))
        ends = self._ends
        in_a_row = 0
        self._begin()
        while self._retiring is None:
            place = await in_thread(make_place, self._folder, built.source)
            self.log.forget_tail()
            door = self._new_door() if item.process == WEB else None
            program = program_of(item, built, place, self._ground.confinement, door, given, command)
            reason, healthy_seconds = await self._once(program, door)
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
                raise _Failed(endings.crash_loop(len(ends), ENDS_WITHIN_SECONDS, reason))
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

    def _new_door(self) -> Door:
        confined = self._ground.confinement.level == "confined"
        if confined and not self.item.config.network:
            port = self.item.config.port or INNER_PORT
            return Inlet(port if port >= UNPRIVILEGED_PORT_MIN else INNER_PORT, self._ground.confinement)
        return Direct()

    async def _once(self, program: Program, door: Door | None) -> tuple[Reason, float]:
        """Run it to its end: why, and for how long it was healthy."""
        self._door = door
        config = self.item.config
        what = f"{self.item.process}.{self.item.index} of release {self.item.release}"
        port = "" if door is None else f"PORT={door.port}, "
        cores = f"{config.cpu:g} core{'' if config.cpu == 1 else 's'} ({held_by(self._ground.confinement)})"
        self._say(f"starting {what}: {port}{config.ram} of memory, {cores}")
        healthy_at: list[float] = []
        running = asyncio.create_task(supervise(self._ground.confinement, program, self._write, self._started))
        watching = asyncio.create_task(self._look_after(door, healthy_at))
        try:
            await asyncio.wait([running, watching], return_when=asyncio.FIRST_COMPLETED)
            verdict = watching.result() if watching.done() else None
            if not running.done():
                await self._end_program(running, END_SECONDS)
            if verdict is None:
                self.log.finish()
                verdict = endings.reason_of(running.result(), config, self.log.tail())
        finally:
            self._root = 0
            self._watch = None
            self._rooted.clear()
            for task in (watching, running):
                task.cancel()
            await asyncio.gather(watching, running, return_exceptions=True)
            if door is not None:
                door.close()
            self._door = None
            self.log.finish()
        return verdict, time.monotonic() - healthy_at[0] if healthy_at else 0.0

    def _started(self, root: int, watch: Watch) -> None:
        self._root, self._watch = root, watch
        self._rooted.set()
        self._cpu_seen = (time.monotonic(), 0.0)

    async def _end_program(self, running: "asyncio.Task[Ended]", seconds: float) -> None:
        """SIGTERM, and SIGKILL to whatever is still there later."""
        if self._root:
            self._ask_to_end()
            await asyncio.wait([running], timeout=seconds)

    async def _look_after(self, door: Door | None, healthy_at: list[float]) -> Reason:
        """Look whether it is healthy for as long as it runs; returns why it has to be started again. _Failed."""
        await self._rooted.wait()
        if door is None:
            await asyncio.sleep(WORKER_SECONDS)
            healthy_at.append(time.monotonic())
            self._become("healthy")
            await asyncio.get_running_loop().create_future()
        began, hinted, failures = time.monotonic(), False, 0
        while True:
            assert door is not None
            fault = await health.fault(lambda: door.connect(self._root), self.item.config.health_path)
            now = time.monotonic()
            if not fault:
                failures = 0
                if not healthy_at:
                    healthy_at.append(now)
                if self.state != "healthy":
                    self._become("healthy")
            elif not healthy_at:
                if now > self._deadline:
                    raise _Failed(await self._never(door.port, fault))
                if now > began + HINT_SECONDS and not hinted:
                    hinted = True
                    others = await in_thread(ports_within, self._root)
                    if others and door.port not in others:
                        self._say(endings.wrong_port(door.port, others).message)
            else:
                failures += 1
                if failures >= health.RESTARTED_AFTER:
                    return Reason("unhealthy", f"It was unhealthy for too long: {fault}.")
                if failures == health.UNHEALTHY_AFTER:
                    self._say(f"unhealthy: {fault}")
                    self._become("unhealthy", Reason("unhealthy", f"It does not answer: {fault}."))
            await asyncio.sleep(health.WATCHING_SECONDS if healthy_at else health.STARTING_SECONDS)

    async def _never(self, port: int, fault: str) -> Reason:
        others = await in_thread(ports_within, self._root)
        if self._reason is not None and not others:
            return endings.crash_loop(len(self._ends), ENDS_WITHIN_SECONDS, self._reason)
        return endings.never_listened(port, others, self.item.config.start_seconds, fault, self.log.tail())

    async def _retire(self, drain_seconds: float, end_seconds: float) -> None:
        if self.state in ("healthy", "unhealthy"):
            self._become("draining")
            waits = [asyncio.ensure_future(event.wait()) for event in (self._quiet, self._hurry)]
            await asyncio.wait(waits, timeout=drain_seconds, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        elif self.state != "failed":
            self._become("draining")
        if self._root:
            self._say("stopping")
            self._ask_to_end()
            await asyncio.wait([self._life], timeout=end_seconds)
        self._life.cancel()
        with suppress(asyncio.CancelledError):
            await self._life
        await in_thread(remove, self._folder)
        self._become("stopped")
        self._ended(self)

    def _ask_to_end(self) -> None:
        if self._door is not None:
            self._door.ask_to_end(self._root)
        else:
            ask_to_end(self._root)

    def _emit(self, stream: str, text: str) -> None:
        self._write(stream, text)

    def _write(self, stream: str, text: str) -> bool:
        kept = self.log.write(stream, text)
        self._ground.printed()
        return kept

    def _say(self, text: str) -> None:
        self.log.say(text)
        self._ground.printed()


@contextmanager
def _had(budget: Budget | None, amount: str, what: str, setting: str) -> Iterator[None]:
    if budget is None:
        yield
        return
    mib = mib_of(amount)
    with budget.at_once(mib) as had:
        if not had:
            message = f"It is to have {mib} MiB of {what}, and of what this node offers {budget.free_mib} MiB are free."
            hint = f"Lower config.{setting}, or offer more of a machine (setting {setting})."
            raise _Failed(Reason("no_room", message, hint))
        yield


def _opened_env(sealed: bytes, key: bytes) -> dict[str, str]:
    if not sealed:
        return {}
    opened = json.loads(box.opened(key, sealed))
    return {str(name): str(value) for name, value in opened.items()}


def _now() -> int:
    return time.time_ns() // 1_000_000
