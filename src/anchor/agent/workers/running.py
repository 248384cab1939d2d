"""One attempt in a worker of the pool: given its time, measured, and its end put into words, whatever the end was."""

import asyncio
import re
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import msgspec

from anchor.agent.job import RESULT_BYTES_MAX, BoundedOutput, Emit, Ran, failed
from anchor.agent.result_text import require_json
from anchor.agent.workers.endings import (
    disk_full,
    out_of_memory,
    timed_out,
    too_deep,
    too_large,
    too_many_threads,
)
from anchor.agent.workers.frames import MIB, Ended, FrameError, Program, Source, Work
from anchor.agent.workers.limits import THREADS_MAX
from anchor.agent.workers.pool import Pool
from anchor.agent.workers.process import Worker, WorkerLost
from anchor.core.attempt import Outcome, Usage
from anchor.core.errors import FailureCode

GRACE_SECONDS: Final = 0.15
"""How long past its deadline a worker has to stop by itself and say so before it is killed."""
MEASURE_SECONDS: Final = 0.05
LOOK_SECONDS: Final = 0.2
HELD_SPARE_MIB: Final = 160
"""How far beyond its work's limit the memory of a worker may be before it is killed from outside. Its own limits are to
be met first; this one is for whoever has lifted them, and leaves room for engines that are loaded for the work."""
DISK_SPARE_MIB: Final = 16
"""What a worker whose work has no directory may write all the same."""
MESSAGE_LENGTH_MAX: Final = 4000
INT64_MAX: Final = 2**63 - 1
FIGURE_MAX: Final = 1e9
_ENGINE_ABORTS: Final = frozenset({"SIGTRAP", "SIGABRT", "SIGILL"})
_MEMORY_SHARE: Final = 0.5
_LONE_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class Modules(Protocol):
    """Compiled modules that the agent keeps, so that workers need not compile what another one has compiled."""

    def fit(self, program: Program, worker: Worker) -> Program:
        """The program as this worker needs it: with what was kept of its module, or asking for it."""

    def keep(self, digest: bytes, code: bytes) -> None:
        """Keep what a worker made of this module. Called only where `fit` asked for it."""

    def likes(self, program: Program, worker: Worker) -> bool:
        """Whether the program starts sooner, or leaves more behind, in this worker than in others."""


async def run_in(
    pool: Pool, work: Work, emit: Emit, directory: Path | None = None, modules: Modules | None = None
) -> Ran:
    """Run a piece of work to its end, with the job's `directory` in the worker's reach until then. Cancelling kills the
    worker before the cancellation is let through."""
    output = BoundedOutput(emit, work.output_bytes)

    def liked(worker: Worker) -> bool:
        return modules is not None and isinstance(work, Program) and modules.likes(work, worker)

    try:
        worker = await pool.take(liked)
    except WorkerLost as lost:
        return failed(
            FailureCode.RUNTIME_UNAVAILABLE,
            f"No worker process could be started: {lost}.",
            "Run `anchor doctor` on the node.",
        )
    compiled = None
    if modules is not None and isinstance(work, Program):
        work = modules.fit(work, worker)
        if work.keep:
            compiled = partial(modules.keep, work.digest)
    began = time.perf_counter()
    try:
        if directory is not None:
            work = msgspec.structs.replace(work, has_directory=True)
            worker.place.lend(directory)
        ended = await _run(pool, worker, work, output, compiled)
    except BaseException:
        await pool.discard(worker)
        raise
    finally:
        worker.place.give_back()
    if pool.has(worker):  # also one that has just ended by itself, as each does after a while: it is replaced
        pool.release(worker)
    usage = Usage(
        wall_seconds=round(time.perf_counter() - began, 6),
        cpu_seconds=round(_sane(ended.cpu_seconds) or _sane(worker.cpu_seconds), 6),
        peak_memory_mb=round(max(_sane(ended.peak_memory_mib), _sane(worker.memory_mib)), 3),
        fuel=max(0, min(ended.fuel, INT64_MAX)),
    )
    return _ran(ended, usage, output.truncated or ended.truncated)


async def _run(
    pool: Pool, worker: Worker, work: Work, output: BoundedOutput, compiled: Callable[[bytes], None] | None
) -> Ended:
    """How the work ended; a worker that is not to be used again is gone by then."""
    meter = _Meter(worker, work)

    def printed(stream: str, text: str) -> None:
        output.write(stream, text)
        # A worker cuts its output itself: only one that is no longer in our hands goes beyond, without end.
        if output.truncated or not text:
            raise FrameError("it printed what it may not")

    try:
        async with asyncio.timeout(work.timeout_seconds + GRACE_SECONDS):
            ended = await worker.run(work, printed, compiled)
    except TimeoutError:
        worker.measure()
        await pool.discard(worker)
        return timed_out(work.timeout_seconds)
    except FrameError as error:
        await pool.discard(worker)
        return Ended(FailureCode.CRASHED, f"The worker process broke its protocol: {error}.")
    finally:
        meter.stop()
    if ended is None and meter.cut is not None:
        await pool.discard(worker)
        return meter.cut
    if ended is None:
        return _how_it_died(await pool.discard(worker), work, worker, pool.killed_by_kernel())
    return ended


class _Meter:
    """Looks at a worker now and then while it works: a process that dies takes its own figures with it."""

    def __init__(self, worker: Worker, work: Work) -> None:
        self._worker = worker
        self._memory_mib = work.memory_mib
        # 0 means no limit, which work without a directory has no use for.
        self._disk_mib = work.disk_mib if work.has_directory else DISK_SPARE_MIB
        self._looking: asyncio.Task[None] | None = None
        self._look_at = 0.0
        self.cut: Ended | None = None
        """What the worker was killed for."""
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(MEASURE_SECONDS, self._measure)

    def _measure(self) -> None:
        self._worker.measure()
        if self._worker.held_mib > self._memory_mib + HELD_SPARE_MIB:
            self._end(out_of_memory(self._memory_mib))
        elif self._worker.threads > THREADS_MAX:
            self._end(too_many_threads(THREADS_MAX))
        elif self._disk_mib and self._loop.time() >= self._look_at and (self._looking is None or self._looking.done()):
            self._look_at = self._loop.time() + LOOK_SECONDS
            self._looking = self._loop.create_task(self._look())
        self._timer = self._loop.call_later(MEASURE_SECONDS, self._measure)

    async def _look(self) -> None:
        if await asyncio.to_thread(self._worker.place.overfull, self._disk_mib * MIB):
            self._end(disk_full(self._disk_mib))

    def _end(self, cut: Ended) -> None:
        self.cut = self.cut or cut
        self._worker.end()

    def stop(self) -> None:
        self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()


def _ran(ended: Ended, usage: Usage, truncated: bool) -> Ran:
    if ended.code is not None:
        ran = failed(ended.code, ended.message[:MESSAGE_LENGTH_MAX], ended.hint[:MESSAGE_LENGTH_MAX], usage)
        return msgspec.structs.replace(ran, output_truncated=truncated)
    problem = _problem_of(ended.value)
    if problem is not None:
        return _ran(problem, usage, truncated)
    return Ran(outcome=Outcome.SUCCEEDED, value=ended.value, usage=usage, output_truncated=truncated)


def _problem_of(value: bytes | memoryview) -> Ended | None:
    """What is wrong with a result: a worker that foreign code has taken over can say anything."""
    if len(value) > RESULT_BYTES_MAX:
        return too_large()
    try:
        require_json(value)
    except RecursionError:
        why = "it is nested too deeply"
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        # JavaScript strings may hold what no Unicode text can; JSON.stringify passes it on as an escape.
        why = "a text in it holds half a surrogate pair" if _LONE_SURROGATE.search(value) else str(error)
    else:
        return None
    return Ended(FailureCode.RESULT_INVALID, f"The result cannot be written as JSON: {why}.")


def _sane(figure: float) -> float:
    """A figure that a worker may have made up, as one that can be added to others."""
    return figure if 0 <= figure < FIGURE_MAX else 0.0


def _how_it_died(code: int, work: Work, worker: Worker, killed_by_kernel: bool) -> Ended:
    name = signal.Signals(-code).name if code < 0 else ""
    # The sandboxed Python comes into memory with its first task: pages of its files are not the task's.
    used_mib = worker.held_mib if isinstance(work, Source) else worker.memory_mib
    pressed = killed_by_kernel or used_mib > _MEMORY_SHARE * work.memory_mib
    if name == "SIGABRT" and isinstance(work, Source) and not pressed:
        return too_deep()
    # Engines abort the process when memory that they cannot do without is refused to them.
    if name in _ENGINE_ABORTS or (name and pressed):
        return out_of_memory(work.memory_mib)
    end = f"was ended by {name}" if name else f"ended with code {code}"
    return Ended(
        FailureCode.CRASHED,
        f"The worker process {end} in the middle of the task.",
        "It is tried again as the retry policy says.",
    )
