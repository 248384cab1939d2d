"""A native runtime with the folders it needs, for tests: runs payloads and keeps what they said."""

from pathlib import Path
from typing import Any

import msgspec

from anchor.agent.job import Job, Ran
from anchor.agent.runtimes.native.runtime import Native
from anchor.core.attempt import Outcome
from anchor.core.errors import FailureCode
from anchor.core.spec import Payload, ResolvedLimits


class Bench:
    """A runtime under test, and the output of what ran last."""

    def __init__(self, native: Native, jobs: Path) -> None:
        self.native = native
        self.level = ""
        self._jobs = jobs
        self._count = 0
        self.chunks: list[tuple[str, str]] = []

    def out(self, stream: str = "stdout") -> str:
        return "".join(text for name, text in self.chunks if name == stream)

    async def run(
        self,
        *,
        memory_mib: int = 512,
        seconds: float = 60,
        output_bytes: int = 1 << 20,
        disk_mib: int = 1024,
        gpu: bool = False,
        **payload: Any,
    ) -> Ran:
        self._count += 1
        directory = self._jobs / str(self._count)
        directory.mkdir(parents=True)
        self.chunks = []
        job = Job(
            task="task_1",
            attempt=2,
            payload=Payload(runtime="native", **payload),
            limits=ResolvedLimits(memory_mib, seconds, output_bytes, disk_mib),
            directory=directory,
            gpu=gpu,
        )
        return await self.native.run(job, lambda stream, text: self.chunks.append((stream, text)))


def value_of(ran: Ran) -> Any:
    assert ran.outcome is Outcome.SUCCEEDED, ran.reason
    return msgspec.json.decode(ran.value)


def reason_of(ran: Ran, code: FailureCode) -> str:
    assert ran.reason is not None, ran.value
    assert ran.reason.code == code, ran.reason
    return ran.reason.message
