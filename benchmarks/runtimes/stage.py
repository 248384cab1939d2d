"""Runs jobs straight through an agent's runtimes, without a server: what is measured is the agent and below."""

import itertools
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from anchor.agent.job import Job, Ran
from anchor.agent.policy import Policy
from anchor.agent.runtimes.catalogue import Catalogue
from anchor.core.spec import Payload, ResolvedLimits

LIMITS = ResolvedLimits(memory_mib=512, timeout_seconds=120.0, output_bytes=65_536)
MEMORY_MIB = 4096
"""What all jobs at once may use together."""
_numbers = itertools.count(1)


class Stage:
    """The runtimes of an agent in this process; `run` gives a job's ending and the seconds it took from here."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.catalogue = Catalogue(directory, Policy(), MEMORY_MIB)

    async def run(
        self, runtime: str, payload: Payload, *, module: bytes = b"", limits: ResolvedLimits = LIMITS
    ) -> tuple[Ran, float]:
        """One job from its first step to its last, its directory included."""
        one = self.catalogue.runtimes[runtime]
        job = Job(
            task="task_bench",
            attempt=next(_numbers),
            payload=payload,
            limits=limits,
            directory=self._directory / f"job-{next(_numbers)}",
            module=module,
        )
        begun = time.perf_counter()
        if one.wants_directory(payload):
            job.directory.mkdir()
        ran = await one.run(job, lambda stream, text: None)
        return ran, time.perf_counter() - begun

    async def value(self, runtime: str, payload: Payload, **more: Any) -> Any:
        """The result of a job that has to succeed, as bytes of JSON."""
        ran, _ = await self.run(runtime, payload, **more)
        if ran.reason is not None:
            raise SystemExit(f"{runtime}: {ran.reason.code}: {ran.reason.message}")
        return ran.value


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """A stage with its runtimes warm."""
    with tempfile.TemporaryDirectory() as directory:
        one = Stage(Path(directory))
        await one.catalogue.start()
        try:
            yield one
        finally:
            await one.catalogue.stop()
