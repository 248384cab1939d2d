"""How it went: this server looks once a minute at what runs and waits, and remembers a day of it."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import structlog

from anchor.core.errors import AnchorError
from anchor.core.node import Status, is_connected
from anchor.core.task import HELD, State, Task
from anchor.orchestrator.world import World
from anchor.ports.store import UnknownOutcome

log = structlog.get_logger("anchor.history")
MINUTE_MS = 60_000
MINUTES_KEPT = 24 * 60
WAITS_MAX = 1_000


class Waits:
    """How long tasks waited that were given out here lately."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque(maxlen=WAITS_MAX)

    def see(self, tasks: Sequence[Task]) -> None:
        """These were just written."""
        for task in tasks:
            if task.state is State.LEASED and task.attempt == 1 and task.leased_at is not None:
                self._seen.append((task.leased_at, task.leased_at - task.created_at))

    def median_ms(self, now: int) -> int | None:
        """Of those of the last minute; None where none was given out."""
        while self._seen and self._seen[0][0] < now - MINUTE_MS:
            self._seen.popleft()
        return round(median(wait for _, wait in self._seen)) if self._seen else None


@dataclass(frozen=True)
class Sample:
    """What there was at the end of a minute (of Unix time), and how long tasks waited in it."""

    minute: int
    running: int
    waiting: int
    nodes: int
    median_wait_ms: int | None


class History:
    """The samples of a day, the newest last, in memory."""

    def __init__(self) -> None:
        self.waits = Waits()
        self._samples: deque[Sample] = deque(maxlen=MINUTES_KEPT)

    def keep(self, sample: Sample) -> None:
        """Remember the newest sample."""
        self._samples.append(sample)

    def within(self, first: int, until: int) -> list[Sample]:
        """The samples of these minutes."""
        return [sample for sample in self._samples if first <= sample.minute < until]

    async def sampling(self, world: World) -> None:
        """Take a sample at the end of each minute, for ever."""
        while True:
            now = world.clock.now()
            await asyncio.sleep((MINUTE_MS - now % MINUTE_MS) / 1000)
            try:
                self.keep(await self.sample(world, now // MINUTE_MS))
            except (AnchorError, UnknownOutcome) as error:
                log.warning("no sample of this minute", message=str(error))

    async def sample(self, world: World, minute: int) -> Sample:
        """What there is now, as the sample of a minute."""
        now = world.clock.now()
        running, waiting = load_of(await world.store.counts(None))
        return Sample(minute, running, waiting, await online(world), self.waits.median_ms(now))


def load_of(counts: Mapping[State, int]) -> tuple[int, int]:
    """How many tasks run, and how many wait."""
    return sum(counts[state] for state in HELD), counts[State.QUEUED] + counts[State.BACKOFF]


async def online(world: World) -> int:
    """How many nodes can be heard and are not blocked."""
    now = world.clock.now()
    return sum(node.status is not Status.BLOCKED and is_connected(node, now=now) for node in await world.store.nodes())
