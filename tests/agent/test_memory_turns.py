"""The owner's share of memory is handed out in turn: never more than there is, and nobody is passed over."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from anchor.agent.budget import Budget, Budgeted
from anchor.agent.job import Emit, Job, Ran
from anchor.core.attempt import Outcome
from anchor.core.spec import Payload, ResolvedLimits


class Counting:
    """A runtime whose jobs last until they are let go; it keeps what it was given and the most memory it saw in use."""

    name = "isolate"

    def __init__(self) -> None:
        self.seen: list[Job] = []
        self.going = asyncio.Event()
        self._in_use_mib = 0
        self.most_mib = 0

    def wants_directory(self, _: Payload) -> bool:
        return False

    async def start(self) -> None:
        self.seen.clear()

    async def run(self, job: Job, _: Emit) -> Ran:
        self.seen.append(job)
        self._in_use_mib += job.limits.memory_mib
        self.most_mib = max(self.most_mib, self._in_use_mib)
        try:
            await self.going.wait()
        finally:
            self._in_use_mib -= job.limits.memory_mib
        return Ran(outcome=Outcome.SUCCEEDED)

    async def stop(self) -> None:
        self.going.set()


def job(task: str, memory_mib: int) -> Job:
    limits = ResolvedLimits(memory_mib=memory_mib, timeout_seconds=1, output_bytes=0)
    return Job(task=task, attempt=1, payload=Payload(), limits=limits, directory=Path("unused"))


class Stand:
    def __init__(self, share_mib: int) -> None:
        self.counting = Counting()
        self.runtime = Budgeted(self.counting, Budget(share_mib))
        self.said: dict[str, str] = {}

    def begin(self, task: str, memory_mib: int) -> asyncio.Task[Ran]:
        return asyncio.create_task(self.runtime.run(job(task, memory_mib), partial(self._hear, task)))

    def _hear(self, task: str, stream: str, text: str) -> None:
        self.said[task] = f"{stream}: {text}"

    async def running(self) -> list[str]:
        for _ in range(5):  # every hand-over takes a turn or two of the loop
            await asyncio.sleep(0)
        return [one.task for one in self.counting.seen]


@pytest.mark.anyio
async def test_what_runs_at_once_never_has_more_than_the_share_together() -> None:
    stand = Stand(1000)
    tasks = [stand.begin(str(number), 100 + 37 * (number % 7)) for number in range(60)]
    await stand.running()
    stand.counting.going.set()
    assert {ran.outcome for ran in await asyncio.gather(*tasks)} == {Outcome.SUCCEEDED}
    assert 800 < stand.counting.most_mib <= 1000


@pytest.mark.anyio
async def test_a_large_one_is_not_passed_by_small_ones_that_came_later() -> None:
    stand = Stand(1000)
    first = stand.begin("first", 600)
    large = stand.begin("large", 900)
    small = stand.begin("small", 100)
    assert await stand.running() == ["first"]
    assert stand.said["large"] == "progress: waiting until 900 MiB of this node's memory are free\n"
    assert "first" not in stand.said
    first.cancel()
    assert await stand.running() == ["first", "large", "small"]
    stand.counting.going.set()
    await asyncio.gather(large, small)


@pytest.mark.anyio
async def test_whoever_is_cancelled_while_it_waits_takes_nothing_and_lets_the_next_ones_in() -> None:
    stand = Stand(1000)
    first, large, small = stand.begin("first", 600), stand.begin("large", 900), stand.begin("small", 100)
    await stand.running()
    large.cancel()
    assert await stand.running() == ["first", "small"]
    first.cancel()
    small.cancel()
    await stand.running()
    whole = stand.begin("whole", 1000)
    assert (await stand.running())[-1] == "whole"
    stand.counting.going.set()
    await whole


@pytest.mark.anyio
async def test_whoever_is_cancelled_in_the_moment_its_turn_comes_gives_it_on() -> None:
    stand = Stand(1000)
    first, second, third = stand.begin("first", 600), stand.begin("second", 600), stand.begin("third", 1000)
    await stand.running()
    first.cancel()
    await asyncio.sleep(0)
    second.cancel()
    third_runs = "third" in await stand.running()
    assert third_runs
    stand.counting.going.set()
    await third


@pytest.mark.anyio
async def test_a_limit_nobody_asked_for_is_cut_to_the_share_and_one_asked_for_is_refused() -> None:
    stand = Stand(100)
    stand.counting.going.set()
    assert (await stand.begin("default", 128)).outcome is Outcome.SUCCEEDED
    assert stand.counting.seen[0].limits.memory_mib == 100
    refused = await stand.begin("asked", 200)
    assert refused.outcome is Outcome.REJECTED
    assert refused.reason is not None
    assert refused.reason.message == "This node offers a task 100 MiB of the 200 asked for."
    assert len(stand.counting.seen) == 1
