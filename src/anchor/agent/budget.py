"""The owner's shares: what runs at once never has more of one together, and the rest waits its turn."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from msgspec.structs import replace

from anchor.agent.job import Emit, Job, Ran, Runtime, failed
from anchor.core.errors import FailureCode
from anchor.core.spec import DEFAULT_LIMITS, Payload


class Budget:
    """So many MiB to be shared out. Who came first gets first, also where a smaller wish would fit before it: so that
    a large one is never kept waiting for ever."""

    def __init__(self, whole_mib: int) -> None:
        self.whole_mib = whole_mib
        self._free = whole_mib
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def covers(self, mib: int) -> bool:
        """Whether `mib` could be had without waiting."""
        return not self._waiting and mib <= self._free

    @contextmanager
    def at_once(self, mib: int) -> Iterator[bool]:
        """Hold `mib` for the length of the context if they are free this moment, before whoever waits; whether they
        were."""
        had = mib <= self._free
        if had:
            self._free -= mib
        try:
            yield had
        finally:
            if had:
                self._give(mib)

    @property
    def free_mib(self) -> int:
        """What nobody holds."""
        return self._free

    @asynccontextmanager
    async def share(self, mib: int) -> AsyncIterator[None]:
        """Hold `mib`, which the whole budget covers, for the length of the context; waits until they are free."""
        await self._take(mib)
        try:
            yield
        finally:
            self._give(mib)

    async def _take(self, mib: int) -> None:
        if self.covers(mib):
            self._free -= mib
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((mib, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give(mib)
            else:
                self._waiting.remove((mib, turn))
                self._pass_on()
            raise

    def _give(self, mib: int) -> None:
        self._free += mib
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            mib, turn = self._waiting.popleft()
            self._free -= mib
            turn.set_result(None)


class Budgeted:
    """A runtime whose jobs run only while the budget covers their memory limits. Their time begins when they do."""

    def __init__(self, runtime: Runtime, budget: Budget) -> None:
        self.name = runtime.name
        self._runtime = runtime
        self._budget = budget

    def wants_directory(self, payload: Payload) -> bool:
        """As the runtime itself."""
        return self._runtime.wants_directory(payload)

    async def start(self) -> None:
        """Make the runtime ready."""
        await self._runtime.start()

    async def run(self, job: Job, emit: Emit) -> Ran:
        """Run one job once there is memory for it. A limit nobody asked for is cut to what there is at all."""
        offered = self._budget.whole_mib
        if job.limits.memory_mib > offered:
            if job.limits.memory_mib != DEFAULT_LIMITS[self.name][0]:
                return failed(
                    FailureCode.RUNTIME_UNAVAILABLE,
                    f"This node offers a task {offered} MiB of the {job.limits.memory_mib} asked for.",
                    "Ask for less (limits.memoryMb), or let a larger share of the machine be used (ram).",
                )
            job = replace(job, limits=replace(job.limits, memory_mib=offered))
        if not self._budget.covers(job.limits.memory_mib):
            emit("progress", f"waiting until {job.limits.memory_mib} MiB of this node's memory are free\n")
        async with self._budget.share(job.limits.memory_mib):
            return await self._runtime.run(job, emit)

    async def stop(self) -> None:
        """End every process the runtime started."""
        await self._runtime.stop()
