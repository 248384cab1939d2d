"""The jobs of a runtime that has a process tree or a container for each, so that all can be ended together."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from anchor.agent.job import Ran
from anchor.core.attempt import Outcome, Reason
from anchor.core.errors import FailureCode


class UnderWay:
    """Runs jobs until it is stopped."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Ran]] = set()
        self._stopping = False

    async def run(self, job: Coroutine[Any, Any, Ran]) -> Ran:
        """Run a job to its end; `released` where `stop` ended it."""
        task = asyncio.create_task(job)
        self._running.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._stopping and caller is not None and not caller.cancelling():
                return Ran(outcome=Outcome.RELEASED, reason=Reason(FailureCode.RELEASED, "The agent was stopped."))
            raise
        finally:
            self._running.discard(task)

    async def stop(self) -> None:
        """End every running job, and wait until all have ended."""
        self._stopping = True
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
