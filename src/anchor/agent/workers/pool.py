"""Worker processes kept warm: one piece of work at a time each, and a new process for each that is spent."""

import asyncio
import itertools
import tempfile
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

from anchor.agent.files.removal import remove
from anchor.agent.workers.examining import Level, examine
from anchor.agent.workers.frames import MIB, FrameError
from anchor.agent.workers.limits import THREADS_MAX
from anchor.agent.workers.nursery import source
from anchor.agent.workers.place import Place
from anchor.agent.workers.process import Worker, WorkerLost
from anchor.agent.workers.worker import ENGINES

READY_SECONDS: Final = 30.0
"""How long a new worker may take to load its engines."""
REFRESH_SECONDS: Final = 1.0
"""How long a worker may take to get ready again after a piece of work."""
LOOK_SECONDS: Final = 1.0
IDLE_HELD_MIB_MAX: Final = 256
IDLE_CPU_SECONDS_MAX: Final = 5.0
IDLE_DISK_MIB_MAX: Final = 16
"""What a worker without work may have taken since it was ready: engines it loads then need far less."""
IDLE_SECONDS: Final = 30.0
"""How long a worker beyond the warm ones is kept without work."""
SPARE: Final = 1
"""Workers that are ready or on their way while others work, so that a breach does not keep the next task waiting."""


class Pool:
    """Workers for the runtimes whose engines are libraries: `warm` at least, and one for every piece of work that runs.

    `state` is the agent's directory: workers have their places in it; without one they are in a temporary directory.
    `start` and `stop` are called by every runtime that shares the pool: the first starts it, the last stops it.
    """

    def __init__(
        self, state: Path | None = None, warm: int = 2, spare: int = SPARE, engines: Mapping[str, str] = ENGINES
    ) -> None:
        self._state = state
        self._warm = warm
        self._spare = min(spare, warm)
        self._source = source(engines)
        self._numbers = itertools.count(1)
        self._places: Path | None = None
        self._users = 0
        self._all: set[Worker] = set()
        self._idle: dict[Worker, asyncio.TimerHandle] = {}
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        self._coming = 0
        self._unborn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._level: asyncio.Task[Level] | None = None
        self._kills: int | None = None

    @property
    def pids(self) -> list[int]:
        """The process ids of all workers: idle, busy, starting and ending."""
        return [worker.pid for worker in self._all]

    async def start(self) -> None:
        """Begin to start the warm workers; they become ready in the background."""
        self._users += 1
        self._kills = _kernel_kills()
        self._replenish()
        if self._users == 1:
            self._spawn(self._look_after_idle())

    async def stop(self) -> None:
        """Kill all workers and wait until they are gone; whoever still waits for one gets WorkerLost."""
        self._users -= 1
        if self._users > 0:
            return
        while self._waiting:
            self._fail_one("the agent is stopping")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._remove(worker) for worker in list(self._all)))
        await self._source.close()
        if self._places is not None:
            places, self._places = self._places, None
            await asyncio.to_thread(remove, places)

    async def confinement(self) -> Level:
        """How well workers are confined here: a worker of its own tries to break out, the first time this is asked.
        Raises WorkerLost where there can be no worker."""
        if self._level is None or (self._level.done() and self._level.exception() is not None):
            self._level = asyncio.create_task(self._examine())
        return await asyncio.shield(self._level)

    def killed_by_kernel(self) -> bool:
        """Whether a process that was found killed may have been so for want of memory: the kernel has killed one since
        this was last asked, or does not tell."""
        before, self._kills = self._kills, _kernel_kills()
        return before is None or self._kills is None or self._kills > before

    async def take(self, prefer: Callable[[Worker], bool] = lambda _: False) -> Worker:
        """A worker that is ready, if possible one that `prefer` likes; hand it to `release` or `discard` afterwards.

        Raises WorkerLost where no worker can be started.
        """
        while self._idle:
            # The one that worked last has the warmest caches; the ones in excess are left to grow old.
            worker = next((worker for worker in self._idle if prefer(worker)), next(reversed(self._idle)))
            self._idle.pop(worker).cancel()
            if worker.alive:
                self._replenish()
                return worker
            await self.discard(worker)
        if self._users <= 0:
            raise WorkerLost("the agent is stopping")
        waiter: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._replenish()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.cancelled() and waiter.exception() is None:
                self._offer(waiter.result())
            raise

    def has(self, worker: Worker) -> bool:
        """Whether a worker is still one of these: it was not discarded."""
        return worker in self._all

    def release(self, worker: Worker) -> None:
        """Take a worker back whose work has ended: in the background it gets ready again, or is replaced."""
        self._coming += 1
        self._spawn(self._await_ready(worker, REFRESH_SECONDS))

    async def discard(self, worker: Worker) -> int:
        """Kill a worker with whatever it started, and wait until they are gone; its return code."""
        try:
            return await self._remove(worker)
        finally:
            self._replenish()

    def _replenish(self) -> None:
        if self._users <= 0:
            return
        wanted = max(
            len(self._waiting) - self._coming,
            self._warm - len(self._all) - self._unborn,
            self._spare - len(self._idle) - self._coming + len(self._waiting),
        )
        for _ in range(wanted):
            self._coming += 1
            self._unborn += 1
            self._spawn(self._add())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _add(self) -> None:
        try:
            worker = await self._bear()
        except OSError as error:
            self._coming -= 1
            self._fail_one(str(error))
            return
        except BaseException:
            self._coming -= 1
            raise
        finally:
            self._unborn -= 1
        await self._await_ready(worker, READY_SECONDS)

    async def _bear(self) -> Worker:
        place = Place(self._folder() / str(next(self._numbers)))
        try:
            worker = await self._source.bear(place)
        except BaseException:
            place.remove()
            raise
        self._all.add(worker)
        return worker

    def _folder(self) -> Path:
        if self._places is None:
            if self._state is None:
                self._places = Path(tempfile.mkdtemp(prefix="anchor-workers-"))
            else:
                # An agent that was killed has left its workers' places, but no worker.
                self._places = self._state / "workers"
                remove(self._places)
                self._places.mkdir(mode=0o700, parents=True)
        return self._places

    async def _examine(self) -> Level:
        if self._users <= 0:
            raise WorkerLost("the pool has not been started")
        try:
            worker = await self._bear()
        except OSError as error:
            raise WorkerLost(str(error)) from error
        try:
            async with asyncio.timeout(READY_SECONDS):
                return await examine(worker, self._folder())
        except (TimeoutError, FrameError) as error:
            raise WorkerLost(f"a worker that was to be tested did not answer {error}".rstrip()) from error
        finally:
            await self._remove(worker)

    async def _await_ready(self, worker: Worker, seconds: float) -> None:
        new = seconds == READY_SECONDS
        ready = False
        try:
            async with asyncio.timeout(seconds):
                ready = await worker.ready()
        except (TimeoutError, FrameError):
            ready = False
        finally:
            self._coming -= 1
        if ready:
            self._offer(worker)
            return
        code = await self._remove(worker)
        if new:
            # Another try would fail alike: the next piece of work makes it, not a loop here.
            self._fail_one(f"a new worker process ended with code {code}")
        else:
            self._replenish()

    def _offer(self, worker: Worker) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(worker)
                return
        self._idle[worker] = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._grow_old, worker)

    def _grow_old(self, worker: Worker) -> None:
        if len(self._all) > self._warm and self._idle.pop(worker, None) is not None:
            self._spawn(self._retire(worker))

    async def _look_after_idle(self) -> None:
        """Replace workers that go on by themselves, with what was left running in them by work that has ended long ago,
        and those that have ended."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for worker in list(self._idle):
                worker.measure()
                overfull = await asyncio.to_thread(worker.place.overfull, IDLE_DISK_MIB_MAX * MIB)
                busy = worker.held_mib > IDLE_HELD_MIB_MAX or worker.cpu_seconds > IDLE_CPU_SECONDS_MAX
                unfit = busy or overfull or worker.threads > THREADS_MAX or not worker.alive
                if unfit and worker in self._idle:
                    await self.discard(worker)

    async def _retire(self, worker: Worker) -> None:
        await self._remove(worker)

    async def _remove(self, worker: Worker) -> int:
        timer = self._idle.pop(worker, None)
        if timer is not None:
            timer.cancel()
        try:
            return await worker.kill()
        finally:
            self._all.discard(worker)
            worker.place.remove()

    def _fail_one(self, why: str) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(WorkerLost(why))
                return


def _kernel_kills() -> int | None:
    """How many processes the kernel has killed for want of memory since the machine started; None where it is not
    told."""
    try:
        with Path("/proc/vmstat").open("rb") as counters:
            _, found, rest = counters.read().partition(b"\noom_kill ")
    except OSError:
        return None
    return int(rest.split(maxsplit=1)[0]) if found else None
