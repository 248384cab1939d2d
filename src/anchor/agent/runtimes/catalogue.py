"""Every runtime this machine can offer under its owner's policy, and for each one it cannot, why."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from anchor.agent.budget import Budget, Budgeted
from anchor.agent.job import Offer, Runtime
from anchor.agent.policy import Policy
from anchor.agent.runtimes.isolate import runtime as isolate
from anchor.agent.runtimes.native import runtime as native
from anchor.agent.runtimes.wasm import runtime as wasm
from anchor.agent.sandbox.confinement import Confinement
from anchor.agent.sandbox.probe import probe
from anchor.agent.workers.pool import Pool

NOT_OFFERED = "its owner does not offer it (setting: runtimes)"
PYTHON_MISSING = "the sandboxed Python runtime is not part of this version; use runtime native with language python"
CONTAINER_MISSING = "this version has none"


class Catalogue:
    """The runtimes of one agent. `directory` is the agent's own: toolchains and environments are kept there. What the
    policy does not offer is not even looked for."""

    def __init__(self, directory: Path, policy: Policy, memory_mib: int) -> None:
        self._directory = directory
        self._policy = policy
        self._budget = Budget(memory_mib)
        self._pool = Pool()
        self.runtimes: dict[str, Runtime] = {}
        self.offer = Offer({}, {})

    async def start(self) -> None:
        """Find out what works here and make it ready."""
        pool = self._pool
        kinds: dict[str, tuple[Runtime, Callable[[], tuple[str | None, str]]]] = {
            "isolate": (isolate.Isolate(pool), isolate.offer),
            "wasm": (wasm.Wasm(pool), wasm.offer),
            "native": (native.Native(self._directory), self._native),
        }
        versions: dict[str, str] = {}
        missing = {"python": PYTHON_MISSING, "container": CONTAINER_MISSING}
        wanted = {name: kind for name, kind in kinds.items() if name in self._policy.runtimes}
        found = await asyncio.gather(*(asyncio.to_thread(offer) for _, offer in wanted.values()))
        for (name, (runtime, _)), (version, why) in zip(wanted.items(), found, strict=True):
            if version is None:
                missing[name] = why
            else:
                versions[name] = version
                self.runtimes[name] = Budgeted(runtime, self._budget)
        missing |= {name: NOT_OFFERED for name in [*kinds, *missing] if name not in self._policy.runtimes}
        await asyncio.gather(*(runtime.start() for runtime in self.runtimes.values()))
        self.offer = Offer(versions, missing, self._confinement(versions))

    def _native(self) -> tuple[str | None, str]:
        if (why := refusal(probe(), self._policy)) is not None:
            return None, why
        return native.offer(self._directory)

    def _confinement(self, offered: dict[str, str]) -> dict[str, str]:
        levels = {"isolate": "process", "wasm": "process", "native": str(probe().level) if "native" in offered else ""}
        return {name: levels[name] for name in offered}

    async def stop(self) -> None:
        """End every process that was started."""
        await asyncio.gather(*(runtime.stop() for runtime in self.runtimes.values()))


def refusal(confinement: Confinement, policy: Policy) -> str | None:
    """Why native tasks are not taken here, or None where they are: work of strangers only where it can be confined."""
    if confinement.level == "confined" or (policy.unconfined and confinement.level != "none"):
        return None
    why = f"its tasks cannot be confined here: {confinement.why}. `anchor doctor` on the node says how to change that"
    return why + ("" if confinement.level == "none" else "; allow_unconfined runs them all the same")
