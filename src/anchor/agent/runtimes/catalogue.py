"""Every runtime this machine can offer under its owner's policy, and for each one it cannot, why."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from anchor.agent.budget import Budget, Budgeted
from anchor.agent.job import Offer, Runtime
from anchor.agent.policy import ALL_RUNTIMES, Policy
from anchor.agent.runtimes.container import runtime as container
from anchor.agent.runtimes.isolate import runtime as isolate
from anchor.agent.runtimes.native import runtime as native
from anchor.agent.runtimes.python import runtime as python
from anchor.agent.runtimes.wasm import runtime as wasm
from anchor.agent.sandbox.probe import probe
from anchor.agent.workers.examining import Level
from anchor.agent.workers.frames import FrameError
from anchor.agent.workers.pool import Pool
from anchor.agent.workers.process import WorkerLost

NOT_OFFERED = "its owner does not offer it (setting: runtimes)"
IN_WORKERS = ("isolate", "wasm", "python")
"""The runtimes whose engines are libraries in the worker processes of one pool."""
NO_CORES = "the share of cores (setting: cpus) cannot be held in containers, which are not the agent's own processes"


class Catalogue:
    """The runtimes of one agent. `directory` is the agent's own: toolchains and environments are kept there. What the
    policy does not offer is not even looked for."""

    def __init__(self, directory: Path, policy: Policy, memory_mib: int) -> None:
        self._directory = directory
        self._policy = policy
        self.budget = Budget(memory_mib)
        """The memory that tasks and apps share."""
        self._pool = Pool(directory)
        self.runtimes: dict[str, Runtime] = {}
        self.offer = Offer({}, {})
        self.workers = Level("process", "it was not looked at")
        """How well the workers of isolate, wasm and python are confined."""

    async def start(self) -> None:
        """Find out what works here and make it ready."""
        kinds: dict[str, tuple[Runtime, Callable[[], tuple[str | None, str]]]] = {
            "isolate": (isolate.Isolate(self._pool), isolate.offer),
            "wasm": (wasm.Wasm(self._pool, self._directory / "modules"), wasm.offer),
            "python": (python.Python(self._pool), python.offer),
            "native": (
                native.Native(self._directory, policy=self._policy),
                partial(native.offer, self._directory, self._policy),
            ),
            "container": (container.Containers(self._directory, network=self._policy.network), self._containers),
        }
        wanted = {name: kind for name, kind in kinds.items() if name in self._policy.runtimes}
        found = await asyncio.gather(*(asyncio.to_thread(offer) for _, offer in wanted.values()))
        versions: dict[str, str] = {}
        missing: dict[str, str] = {}
        for (name, (runtime, _)), (version, why) in zip(wanted.items(), found, strict=True):
            if version is None:
                missing[name] = why
            else:
                versions[name] = version
                self.runtimes[name] = Budgeted(runtime, self.budget)
        missing |= {name: NOT_OFFERED for name in ALL_RUNTIMES if name not in self._policy.runtimes}
        await asyncio.gather(*(runtime.start() for runtime in self.runtimes.values()))
        if any(name in versions for name in IN_WORKERS):
            self.workers = await self._examined()
        self.offer = Offer(versions, missing, {name: self._level(name) for name in versions})

    def _containers(self) -> tuple[str | None, str]:
        return container.offer() if self._policy.cores is None else (None, NO_CORES)

    async def _examined(self) -> Level:
        try:
            return await self._pool.confinement()
        except (WorkerLost, FrameError) as error:
            return Level("process", str(error))

    def _level(self, name: str) -> str:
        if name == "native":
            return probe().level
        # What a container engine promises is not tested here.
        return self.workers.level if name in IN_WORKERS else "process"

    async def stop(self) -> None:
        """End every process that was started."""
        await asyncio.gather(*(runtime.stop() for runtime in self.runtimes.values()))
