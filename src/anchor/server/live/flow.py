"""What happens to tasks on this server, for whoever looks: a sample of it, and how much it was."""

import random
from collections.abc import Sequence
from typing import Generic, TypeVar

from anchor.core.ids import wire_id
from anchor.core.task import TERMINAL, State, Task
from anchor.orchestrator.world import World
from anchor.ports.clock import Clock
from anchor.ports.store import TaskStore
from anchor.server.history import Waits
from anchor.wire.live import MARKS_MAX, Mark

FAILURES_MAX = MARKS_MAX // 3
"""Marks that failures may have for themselves: they are few and what one looks for."""
ELSEWHERE_MAX = MARKS_MAX // 6
"""Marks of what happens on other servers: of those only ids are heard, and each has to be read."""
_BAD = frozenset({State.FAILED, State.BACKOFF, State.INCONCLUSIVE})
_ENDED = _BAD | TERMINAL


T = TypeVar("T")


class Sample(Generic[T]):
    """A fair sample of a stream, of a bounded size."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen = 0
        self._kept: list[T] = []

    def add(self, one: T) -> None:
        """See one more."""
        self._seen += 1
        if len(self._kept) < self._size:
            self._kept.append(one)
        elif (place := random.randrange(self._seen)) < self._size:
            self._kept[place] = one

    def take(self) -> list[T]:
        """What was kept of all seen since the last call."""
        kept, self._kept, self._seen = self._kept, [], 0
        return kept


class Flow:
    """The events of tasks since somebody last asked, of one owner or (None) of all. `version` rises with each."""

    def __init__(self, clock: Clock, owner: str | None) -> None:
        self._clock = clock
        self._owner = owner
        self._failures: Sample[Task] = Sample(FAILURES_MAX)
        self._others: Sample[Task] = Sample(MARKS_MAX - FAILURES_MAX - ELSEWHERE_MAX)
        self._elsewhere: Sample[int] = Sample(ELSEWHERE_MAX)
        self._waits = Waits()
        self._happened = 0
        self.version = 0

    def see(self, tasks: Sequence[Task]) -> None:
        """These were just written."""
        self.version += 1
        mine = [task for task in tasks if task.owner == self._owner] if self._owner is not None else tasks
        self._happened += len(mine)
        for task in mine:
            (self._failures if task.state in _BAD else self._others).add(task)
        self._waits.see(mine)

    def hear(self, ids: Sequence[int]) -> None:
        """Something of these changed on another server."""
        self.version += 1
        for one in ids:
            self._elsewhere.add(one)

    async def take(self, store: TaskStore) -> tuple[int, list[Mark]]:
        """How much happened here since the last call, and marks of some of what happened here and elsewhere."""
        happened, self._happened = self._happened, 0
        tasks = [*self._failures.take(), *self._others.take()]
        if ids := self._elsewhere.take():
            found = [task for task in await store.get(sorted(set(ids))) if task is not None]
            tasks += [task for task in found if task.state in _ENDED and self._owner in (None, task.owner)]
        now = self._clock.now()
        return happened, [_mark(task, now) for task in tasks]

    def median_wait_ms(self) -> int | None:
        """How long tasks waited that were given out lately; None where none was."""
        return self._waits.median_ms(self._clock.now())


class Flows:
    """Every flow that somebody looks at; while there is none, only how long tasks waited is seen of them (`waits`)."""

    def __init__(self, world: World) -> None:
        self.waits = Waits()
        self._world = world
        self._flows: set[Flow] = set()
        world.onlooker = self._see

    def open(self, owner: str | None) -> Flow:
        """Look from now on, until `close`."""
        flow = Flow(self._world.clock, owner)
        self._flows.add(flow)
        self._world.bus.overhear(self._hear)
        return flow

    def close(self, flow: Flow) -> None:
        """Look no more."""
        self._flows.discard(flow)
        if not self._flows:
            self._world.bus.overhear(None)

    def _see(self, tasks: Sequence[Task]) -> None:
        self.waits.see(tasks)
        for flow in self._flows:
            flow.see(tasks)

    def _hear(self, ids: Sequence[int]) -> None:
        for flow in self._flows:
            flow.hear(ids)


def _mark(task: Task, now: int) -> Mark:
    past = task.attempts[-1] if task.attempts and task.state is not State.LEASED else None
    return Mark(
        task=wire_id("task", task.id),
        name=task.spec.name,
        state="running" if task.state is State.LEASED else task.state,
        node=past.node if past is not None else task.node,
        since=past.leased_at if past is not None else task.leased_at or 0,
        at=task.finished_at or (past.ended_at if past is not None else task.leased_at) or now,
    )
