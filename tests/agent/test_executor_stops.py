"""An attempt that is stopped at any moment ends exactly once, and the agent can always come to rest."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from anchor.agent.executor import Executor
from anchor.agent.job import Emit, Job, Ran
from anchor.agent.journal import Journal
from anchor.agent.parcels import Parcels
from anchor.core.attempt import Ending, Outcome
from anchor.core.spec import Payload, ResolvedLimits
from anchor.wire.link import Accepted, Assignment, FromAgent, Held

ATTEMPT = Held(7, 1)
ITEM = Assignment(7, 1, "endless", ResolvedLimits(128, 30.0, 1000), b"{}", "", "t")


class Endless:
    """A runtime whose jobs end only when they are stopped."""

    name = "endless"

    def wants_directory(self, _: Payload) -> bool:
        return False

    async def start(self) -> None:
        return

    async def run(self, job: Job, emit: Emit) -> Ran:
        await asyncio.Event().wait()
        raise AssertionError

    async def stop(self) -> None:
        return


@pytest.mark.anyio
@pytest.mark.parametrize("turns", range(6))
async def test_a_cancelled_attempt_ends_once_however_early_the_cancel_comes(tmp_path: Path, turns: int) -> None:
    """`turns` of the event loop pass between the attempt's acceptance and its cancel; with 0, nothing of it has run."""
    loop = asyncio.get_running_loop()
    reported: list[Ending] = []

    def cancel_after(left: int) -> None:
        if left:
            loop.call_soon(cancel_after, left - 1)
        else:
            executor.cancel([ATTEMPT])

    def send(frame: FromAgent) -> None:
        if isinstance(frame, Accepted):
            loop.call_soon(cancel_after, turns)

    def report(endings: Sequence[Ending]) -> None:
        reported.extend(endings)

    journal = Journal(tmp_path / "journal.db")
    parcels = Parcels()
    executor = Executor(journal, {"endless": Endless()}, parcels, tmp_path / "jobs", send=send, report=report)
    try:
        executor.take([ITEM])
        async with asyncio.timeout(20):
            await executor.idle()
    finally:
        await parcels.close()
        journal.close()
    assert [(ending.task, ending.attempt, ending.outcome) for ending in reported] == [(7, 1, Outcome.CANCELLED)]
    assert not executor.busy
