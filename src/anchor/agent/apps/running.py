"""One start of a replica's program: until it ends, is unhealthy for too long, or never gets up."""

import asyncio
import time
from collections.abc import Callable
from socket import socket
from typing import Final

from anchor.agent.apps import endings, health
from anchor.agent.apps.app_log import AppLog
from anchor.agent.apps.doors import Direct, Door, Inlet, ask_to_end
from anchor.agent.apps.ground import Failed, State
from anchor.agent.apps.listening import ports_within
from anchor.agent.sandbox.confinement import Confinement
from anchor.agent.sandbox.supervise import Program, Write, supervise
from anchor.agent.sandbox.watch import Watch
from anchor.agent.threads import in_thread
from anchor.core.app import INNER_PORT, AppConfig
from anchor.core.attempt import Reason

END_SECONDS: Final = 5.0
"""From SIGTERM to SIGKILL."""
WORKER_SECONDS: Final = 2.0
"""A process without a port is healthy once it has run for so long."""
UNPRIVILEGED_PORT_MIN: Final = 1024
"""A program in a cell may not listen below: there it is told INNER_PORT, to which its port on the machine leads."""
HINT_SECONDS: Final = 5.0
"""When the log begins to tell of another port that it listens on."""


def door_to(config: AppConfig, confinement: Confinement) -> Door:
    """The way to a web process that is about to start."""
    if confinement.level != "confined" or config.network:
        return Direct()
    port = config.port or INNER_PORT
    return Inlet(port if port >= UNPRIVILEGED_PORT_MIN else INNER_PORT, confinement)


class Running:
    """A program on its way. `became` hears of its health, `write` what it prints; `deadline` is when it has to have
    been healthy (monotonic), and `before` says how earlier starts ended, if there were any since it was healthy."""

    def __init__(
        self,
        confinement: Confinement,
        config: AppConfig,
        program: Program,
        door: Door | None,
        log: AppLog,
        *,
        write: Write,
        became: Callable[[State, Reason | None], None],
        deadline: float,
        before: Reason | None,
    ) -> None:
        self.watch: Watch | None = None
        self._confinement = confinement
        self._config = config
        self._program = program
        self._door = door
        self._log = log
        self._write = write
        self._became = became
        self._deadline = deadline
        self._before = before
        self._root = 0
        self._rooted = asyncio.Event()
        self._healthy_at: float | None = None

    @property
    def healthy_seconds(self) -> float:
        """How long ago it became healthy for the first time; 0 where it never was."""
        return 0.0 if self._healthy_at is None else time.monotonic() - self._healthy_at

    async def to_its_end(self) -> Reason:
        """Run it: why it ended. Failed where it never gets up. Cancelling kills it."""
        running = asyncio.create_task(supervise(self._confinement, self._program, self._write, self._started))
        watching = asyncio.create_task(self._look_after())
        try:
            await asyncio.wait([running, watching], return_when=asyncio.FIRST_COMPLETED)
            verdict = watching.result() if watching.done() else None
            if not running.done():
                self.ask_to_end()
                await asyncio.wait([running], timeout=END_SECONDS)
            if verdict is None:
                self._log.finish()
                verdict = endings.reason_of(running.result(), self._config, self._log.tail())
            return verdict
        finally:
            self._root = 0
            self.watch = None
            for task in (watching, running):
                task.cancel()
            await asyncio.gather(watching, running, return_exceptions=True)
            if self._door is not None:
                self._door.close()
            self._log.finish()

    def _started(self, root: int, watch: Watch) -> None:
        self._root, self.watch = root, watch
        self._rooted.set()

    async def connect(self) -> socket:
        """A connection to it; OSError where it does not answer."""
        if self._door is None or not self._root:
            raise ConnectionRefusedError("it does not run at the moment")
        return await self._door.connect(self._root)

    def ask_to_end(self) -> None:
        """SIGTERM to its processes; nothing where there are none."""
        if self._root and self._door is not None:
            self._door.ask_to_end(self._root)
        elif self._root:
            ask_to_end(self._root)

    async def _look_after(self) -> Reason:
        """Look whether it is healthy for as long as it runs; returns why it has to be started again. Failed."""
        await self._rooted.wait()
        if self._door is None:
            await asyncio.sleep(WORKER_SECONDS)
            self._get_up()
            await asyncio.get_running_loop().create_future()
        else:
            await self._until_up(self._door.port)
        failures = 0
        while failures < health.RESTARTED_AFTER:
            await asyncio.sleep(health.WATCHING_SECONDS)
            fault = await health.fault(self.connect, self._config.health_path)
            if not fault and failures >= health.UNHEALTHY_AFTER:
                self._became("healthy", None)
            failures = failures + 1 if fault else 0
            if failures == health.UNHEALTHY_AFTER:
                self._became("unhealthy", Reason("unhealthy", f"It does not answer: {fault}."))
        return Reason("unhealthy", f"It was unhealthy for too long: {fault}.")

    async def _until_up(self, port: int) -> None:
        hint_at = time.monotonic() + HINT_SECONDS
        while fault := await health.fault(self.connect, self._config.health_path):
            now = time.monotonic()
            if now > self._deadline:
                raise Failed(await self._never(port, fault))
            if now > hint_at:
                hint_at = self._deadline
                others = await in_thread(ports_within, self._root)
                if others and port not in others:
                    self._log.say(endings.wrong_port(port, others).message)
            await asyncio.sleep(health.STARTING_SECONDS)
        self._get_up()

    def _get_up(self) -> None:
        self._healthy_at = time.monotonic()
        self._became("healthy", None)

    async def _never(self, port: int, fault: str) -> Reason:
        others = await in_thread(ports_within, self._root)
        if self._before is not None and not others:
            return self._before
        return endings.never_listened(port, others, self._config.start_seconds, fault, self._log.tail())
