"""As much of the store port as the orchestrator awaits; a call is under way, then happens, then is heard of."""

from collections.abc import Callable, Sequence
from typing import Any

from anchor.core.access import Key
from anchor.core.app import App
from anchor.core.audit import Entry
from anchor.core.case import Case
from anchor.core.dag import Run
from anchor.core.node import Node
from anchor.core.task import State, Task
from anchor.ports.store import Claim, Duty, QueuedRef, Swap
from anchorsim.scheduler import Call
from anchorsim.truth import Truth

PLACE = "store"


class SimStore:
    """One server's way to the truth."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def insert(self, tasks: Sequence[Task]) -> list[bool]:
        return await _write(lambda share: self._truth.insert(tasks, share))

    async def swap(self, swaps: Sequence[Swap]) -> list[bool]:
        if not swaps:
            return []
        return await _write(lambda share: self._truth.swap(swaps, share))

    async def get(self, ids: Sequence[int]) -> list[Task | None]:
        return await _read(lambda _: [self._truth.tasks.get(key) for key in ids])

    async def due(self, state: State, now: int, limit: int) -> list[Task]:
        return await _read(lambda _: self._truth.due(state, now, limit))

    async def queued(self, after: int, limit: int) -> list[QueuedRef]:
        return await _read(lambda _: self._truth.queued(after, limit))

    async def counts(self, owner: str | None) -> dict[State, int]:
        return await _read(lambda _: self._truth.counts())

    async def states(self, first: int, count: int) -> dict[int, State]:
        return await _read(lambda _: self._truth.states(first, count))

    async def payloads(self, ids: Sequence[int]) -> list[bytes]:
        return await _read(lambda _: [self._truth.payload(key) for key in ids])

    async def insert_run(self, run: Run) -> bool:
        return await _write(lambda _: self._truth.insert_run(run))

    async def swap_run(self, old: Run, new: Run) -> bool:
        return await _write(lambda _: self._truth.swap_run(old, new))

    async def run(self, run_id: int) -> Run | None:
        return await _read(lambda _: self._truth.runs.get(run_id))

    async def runs_due(self, now: int, limit: int) -> list[Run]:
        return await _read(lambda _: self._truth.runs_due(now, limit))

    async def insert_case(self, case: Case) -> bool:
        return await _write(lambda _: self._truth.insert_case(case))

    async def swap_case(self, old: Case, new: Case) -> bool:
        return await _write(lambda _: self._truth.swap_case(old, new))

    async def cases_page(self, *, below: int | None, limit: int, owner: str | None) -> list[Case]:
        return await _read(lambda _: self._truth.cases_page(below, limit, owner))

    async def case(self, case_id: int) -> Case | None:
        return await _read(lambda _: self._truth.cases.get(case_id))

    async def insert_app(self, app: App) -> bool:
        return await _write(lambda _: self._truth.insert_app(app))

    async def swap_app(self, old: App, new: App) -> bool:
        return await _write(lambda _: self._truth.swap_app(old, new))

    async def app(self, app_id: int) -> App | None:
        return await _read(lambda _: self._truth.apps.get(app_id))

    async def app_named(self, name: str) -> App | None:
        return await _read(lambda _: next((app for app in self._truth.apps.values() if app.name == name), None))

    async def app_versions(self) -> dict[int, int]:
        return await _read(lambda _: {key: app.ver for key, app in self._truth.apps.items()})

    async def apps_due(self, now: int, limit: int) -> list[App]:
        return await _read(lambda _: self._truth.apps_due(now, limit))

    async def remove_app(self, app: App) -> bool:
        return await _write(lambda _: self._truth.remove_app(app))

    async def swap_node(self, old: Node, new: Node) -> bool:
        return await _write(lambda _: self._truth.swap_node(old, new))

    async def node(self, node_id: str) -> Node | None:
        return await _read(lambda _: self._truth.nodes.get(node_id))

    async def nodes(self) -> list[Node]:
        return await _read(lambda _: [self._truth.nodes[key] for key in sorted(self._truth.nodes)])

    async def claim(self, claim: Claim) -> Claim:
        return await _write(lambda _: self._truth.claim(claim))

    async def fulfil(self, claim: Claim) -> None:
        await _write(lambda _: self._truth.fulfil(claim))

    async def duty(self, name: str) -> Duty | None:
        return await _read(lambda _: self._truth.duties.get(name))

    async def duties(self) -> list[Duty]:
        return await _read(lambda _: [self._truth.duties[name] for name in sorted(self._truth.duties)])

    async def swap_duty(self, old: Duty | None, new: Duty) -> bool:
        return await _write(lambda _: self._truth.swap_duty(old, new))

    async def audit_tail(self) -> Entry | None:
        return await _read(lambda _: self._truth.audit[-1] if self._truth.audit else None)

    async def audit_page(self, below: int | None, limit: int) -> list[Entry]:
        return await _read(lambda _: self._truth.audit[: below - 1 if below is not None else None][-limit:][::-1])

    async def audit_append(self, entry: Entry) -> bool:
        return await _write(lambda _: self._truth.append(entry))

    async def epoch(self) -> int:
        return await _read(lambda _: self._truth.epoch)

    async def set_epoch(self, epoch: int) -> None:
        await _write(lambda _: setattr(self._truth, "epoch", epoch))

    async def keys(self) -> list[Key]:
        return await _read(lambda _: [])


async def _read(effect: Callable[[float], Any]) -> Any:
    return await Call(effect, place=PLACE)


async def _write(effect: Callable[[float], Any]) -> Any:
    return await Call(effect, place=PLACE, writes=True)
