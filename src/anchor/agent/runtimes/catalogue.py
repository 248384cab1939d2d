"""Every runtime this machine can offer, and for each one it cannot, why."""

import asyncio
from pathlib import Path

from anchor.agent.job import Offer, Runtime
from anchor.agent.policy import Policy
from anchor.agent.runtimes.isolate import runtime as isolate
from anchor.agent.runtimes.native import runtime as native
from anchor.agent.runtimes.wasm import runtime as wasm
from anchor.agent.workers.pool import Pool

NOT_OFFERED = "its owner does not offer it (runtimes)"
PYTHON_MISSING = "the sandboxed Python runtime is not part of this version; use runtime native with language python"


class Catalogue:
    """The runtimes of one agent. `directory` is the agent's own: toolchains and environments are kept there."""

    def __init__(self, directory: Path, policy: Policy = Policy()) -> None:  # noqa: B008 - it is frozen
        pool = Pool()
        self._directory = directory
        self._policy = policy
        self._all: list[Runtime] = [isolate.Isolate(pool), wasm.Wasm(pool), native.Native(directory)]
        self.runtimes: dict[str, Runtime] = {}
        self.offer = Offer({}, {})

    async def start(self) -> None:
        """Find out what works here and make it ready."""
        found = await asyncio.gather(
            asyncio.to_thread(isolate.offer),
            asyncio.to_thread(wasm.offer),
            asyncio.to_thread(native.offer, self._directory),
        )
        versions: dict[str, str] = {}
        missing = {"python": PYTHON_MISSING}
        for runtime, (version, why) in zip(self._all, found, strict=True):
            if runtime.name not in self._policy.runtimes:
                missing[runtime.name] = NOT_OFFERED
            elif version is None:
                missing[runtime.name] = why
            else:
                versions[runtime.name] = version
                self.runtimes[runtime.name] = runtime
        await asyncio.gather(*(runtime.start() for runtime in self.runtimes.values()))
        self.offer = Offer(versions, missing)

    async def stop(self) -> None:
        """End every process that was started."""
        await asyncio.gather(*(runtime.stop() for runtime in self.runtimes.values()))
