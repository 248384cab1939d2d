"""The isolate runtime: JavaScript in a V8 isolate of its own, in a worker process of the pool."""

import importlib.metadata
import importlib.util

import msgspec

from anchor.agent.job import Emit, Job, Ran, failed
from anchor.agent.workers.frames import Script
from anchor.agent.workers.pool import Pool
from anchor.agent.workers.running import run_in
from anchor.core.errors import FailureCode
from anchor.core.spec import Payload


def offer() -> tuple[str | None, str]:
    """The version of the engine, or None and why it is missing."""
    if importlib.util.find_spec("py_mini_racer") is None:
        return None, "mini-racer is not installed; run `pip install mini-racer`."
    return f"mini-racer {importlib.metadata.version('mini-racer')}", ""


class Isolate:
    """Runs JavaScript with `input`, `inputs`, `console`, timers and `anchor`; top-level `await` and `return` work.

    The script is over when its own promise settles; timers that are still pending then are dropped.
    """

    name = "isolate"

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def wants_directory(self, _: Payload) -> bool:
        """Never: a script reaches files only where there are some."""
        return False

    async def start(self) -> None:
        """Start the pool."""
        await self._pool.start()

    async def run(self, job: Job, emit: Emit) -> Ran:
        """Run one script to its end."""
        payload = job.payload
        if payload.source_code is None:
            return failed(FailureCode.INVALID_PAYLOAD, "payload.sourceCode is missing; isolate runs JavaScript source.")
        anchor = {"task": job.task, "attempt": job.attempt, "args": payload.args, "env": payload.env}
        # As text, so that a script that does not look at its inputs does not pay for them.
        inputs = job.inputs.decode()
        given = {"input": payload.input, "inputs": inputs, "anchor": anchor, "budget": job.limits.output_bytes}
        script = Script(
            source=payload.source_code,
            given=msgspec.json.encode(given).decode(),
            memory_mib=job.limits.memory_mib,
            timeout_seconds=job.limits.timeout_seconds,
            output_bytes=job.limits.output_bytes,
            modules=payload.modules,
            has_directory=job.has_directory,
            disk_mib=job.limits.disk_mib,
        )
        return await run_in(self._pool, script, emit, job.directory if job.has_directory else None)

    async def stop(self) -> None:
        """Stop the pool, unless another runtime still uses it."""
        await self._pool.stop()
