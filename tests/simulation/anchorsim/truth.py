"""The truth all simulated servers share: plain dicts, compare-and-set on `ver`, and a past that can be undone."""

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from anchor.adapters.sqlite.rows import last_key_of
from anchor.core.app import App
from anchor.core.audit import Entry, first_break
from anchor.core.case import Case
from anchor.core.dag import RUN_OVER, Run
from anchor.core.ids import born_ms, keys_from
from anchor.core.node import Node
from anchor.core.retry import BACKOFF_CAP_SECONDS
from anchor.core.task import TERMINAL, State, Task
from anchor.ports.store import Claim, Duty, QueuedRef, Swap
from anchorsim.scheduler import Origin, Simulator, Violation

BACKOFF_CAP_MS = int(BACKOFF_CAP_SECONDS * 1000)
TaskSeen = Callable[[Task | None, Task, Origin], None]
AppSeen = Callable[[App | None, App | None], None]
RunSeen = Callable[[Run | None, Run], None]
NodeSeen = Callable[[Node | None, Node, Origin], None]
Undone = tuple[MutableMapping[Any, Any], Any, Any, Any]
"""A table, a key in it, what stood there and what stands there again (None: nothing)."""


@dataclass(frozen=True)
class Snapshot:
    """A truth as it was."""

    tasks: dict[int, Task]
    nodes: dict[str, Node]
    claims: dict[tuple[str, str], Claim]
    runs: dict[int, Run]
    cases: dict[int, Case]
    apps: dict[int, App]
    audit: list[Entry]
    epoch: int


class Truth:
    """What is written down. Whoever watches sees every write, old and new, at the moment it happens."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.tasks: dict[int, Task] = {}
        self.open: dict[int, Task] = {}
        self.nodes: dict[str, Node] = {}
        self.claims: dict[tuple[str, str], Claim] = {}
        self.runs: dict[int, Run] = {}
        self.cases: dict[int, Case] = {}
        self.apps: dict[int, App] = {}
        self._newest_app = 0
        self.duties: dict[str, Duty] = {}
        self.audit: list[Entry] = []
        self.epoch = 0
        self.blobs: dict[str, bytes] = {}
        self.names: dict[int, str] = {}
        self.blind = False
        self.shared = False
        self.remembers = False
        self.on_task: list[TaskSeen] = []
        self.on_node: list[NodeSeen] = []
        self.on_run: list[RunSeen] = []
        self.on_app: list[AppSeen] = []
        self.on_rollback: list[Callable[[Sequence[Undone]], None]] = []
        self._taken_at: dict[str, int] = {}
        self._past: list[tuple[int, MutableMapping[Any, Any], Any, Any]] = []

    # Writes

    def put_task(self, new: Task) -> None:
        """Write a task down and show the write to everybody who watches."""
        old = self.tasks.get(new.id)
        if old is None:
            self.names[new.id] = new.spec.name
        origin = self.origin()
        self.sim.log(
            "task", new.id, new.ver, str(new.state), new.attempt, new.charged, new.node, new.session, origin.kind
        )
        for watch in self.on_task:
            watch(old, new, origin)
        self._put(self.tasks, new.id, new)
        self._file(new)

    def put_node(self, new: Node) -> None:
        """Write a node down and show the write to everybody who watches."""
        old = self.nodes.get(new.id)
        origin = self.origin()
        self.sim.log("node", new.id, new.ver, str(new.status), new.session, origin.kind)
        for watch in self.on_node:
            watch(old, new, origin)
        self._put(self.nodes, new.id, new)

    def insert(self, tasks: Sequence[Task], share: float) -> list[bool]:
        """Write the leading share of new tasks."""
        done = []
        for task in tasks[: _count(tasks, share)]:
            done.append(task.id not in self.tasks)
            if done[-1]:
                self.put_task(task)
            if self.origin().key is None and not task.part_of:
                self._made_here(task.id, fresh=done[-1])
        return done

    def swap(self, swaps: Sequence[Swap], share: float) -> list[bool]:
        """Compare-and-set the leading share of swaps."""
        done = []
        for swap in swaps[: _count(swaps, share)]:
            stored = self.tasks.get(swap.old.id)
            done.append(stored is not None and (self.blind or _stands_for(stored) == _stands_for(swap.old)))
            if done[-1]:
                self.put_task(swap.new)
        return done

    def insert_run(self, run: Run) -> bool:
        """Write a new run."""
        if run.id in self.runs:
            return False
        if self.origin().key is None:
            self._made_here(run.id, fresh=run.id not in self.tasks)
        self.put_run(run)
        return True

    def swap_run(self, old: Run, new: Run) -> bool:
        """Compare-and-set a run."""
        stored = self.runs.get(old.id)
        if stored is None or not (self.blind or (stored.ver, stored.state) == (old.ver, old.state)):
            return False
        self.put_run(new)
        return True

    def put_run(self, new: Run) -> None:
        """Write a run down and show the write to everybody who watches."""
        self.sim.log("run", new.id, new.ver, str(new.state), self.origin().kind)
        for watch in self.on_run:
            watch(self.runs.get(new.id), new)
        self._put(self.runs, new.id, new)

    def insert_case(self, case: Case) -> bool:
        """Write a new case."""
        if case.id in self.cases:
            return False
        self.sim.log("case", case.id)
        self._put(self.cases, case.id, case)
        return True

    def swap_case(self, old: Case, new: Case) -> bool:
        """Compare-and-set a case."""
        stored = self.cases.get(old.id)
        if stored is None or not (self.blind or stored.ver == old.ver):
            return False
        self._put(self.cases, new.id, new)
        return True

    def insert_app(self, app: App) -> bool:
        """Write a new app, if no other has its name."""
        if app.id in self.apps or any(app.name == other.name for other in self.apps.values()):
            return False
        self._made_here(app.id, fresh=app.id not in self.tasks)
        self._newest_app = max(self._newest_app, app.id)
        self._put_app(app.id, app)
        return True

    def swap_app(self, old: App, new: App) -> bool:
        """Compare-and-set an app."""
        stored = self.apps.get(old.id)
        same = stored is not None and _app_stands_for(stored) == _app_stands_for(old)
        if stored is None or not (self.blind or same):
            return False
        self._put_app(new.id, new)
        return True

    def remove_app(self, app: App) -> bool:
        """Remove an app that is still at its version."""
        stored = self.apps.get(app.id)
        if stored is None or _app_stands_for(stored) != _app_stands_for(app):
            return False
        self._put_app(app.id, None)
        return True

    def _put_app(self, key: int, new: App | None) -> None:
        self.sim.log("app", key, 0 if new is None else new.ver, self.origin().kind)
        for watch in self.on_app:
            watch(self.apps.get(key), new)
        if new is None:
            self._put(self.apps, key, None)
            del self.apps[key]
        else:
            self._put(self.apps, key, new)

    def swap_node(self, old: Node, new: Node) -> bool:
        """Compare-and-set a node."""
        stored = self.nodes.get(old.id)
        same = stored is not None and (stored.ver, stored.session, stored.status) == (old.ver, old.session, old.status)
        if stored is None or not (self.blind or same):
            return False
        self.put_node(new)
        return True

    def swap_duty(self, old: Duty | None, new: Duty) -> bool:
        """Compare-and-set a duty."""
        if self.duties.get(new.name) != old:
            return False
        self.duties[new.name] = new
        if old is None or old.holder != new.holder:
            self._taken_at[new.name] = self.host_ms()
        self.sim.log("duty", new.name, new.holder, new.term, new.until)
        return True

    def claim(self, claim: Claim) -> Claim:
        """Keep a claim, or say which one was there first."""
        there = self.claims.get((claim.owner, claim.key))
        if there is not None:
            return there
        taken = claim.first in self.tasks or any(other.first == claim.first for other in self.claims.values())
        self._made_here(claim.first, fresh=not taken)
        self._put(self.claims, (claim.owner, claim.key), claim)
        return claim

    def fulfil(self, claim: Claim) -> None:
        """Mark a claim as carried out."""
        kept = self.claims.get((claim.owner, claim.key))
        if kept is not None:
            self._put(self.claims, (claim.owner, claim.key), replace(kept, done=True))

    def append(self, entry: Entry) -> bool:
        """Write an entry of the audit trail; False where its number is taken."""
        if entry.number != len(self.audit) + 1:
            return False
        if first_break([*self.audit[-1:], entry]) is not None:
            raise Violation(22, f"entry {entry.number} ({entry.kind}) does not follow from the one before")
        self.audit.append(entry)
        self.sim.log("audit", entry.number, entry.kind, entry.subject)
        return True

    # What a failover may do

    def roll_back(self, ms: int) -> int:
        """Undo every write to tasks, nodes and claims of the last `ms`, as a failover does to writes that had reached
        one machine only; says how many."""
        undone: list[Undone] = []
        while self._past and self._past[-1][0] >= self.sim.now - ms:
            _, table, key, old = self._past.pop()
            undone.append((table, key, table.get(key), old))
            if old is None:
                table.pop(key, None)
            else:
                table[key] = old
            if table is self.tasks:
                self.open.pop(key, None)
                if old is not None:
                    self._file(old)
        self.sim.log("rolled back", ms, len(undone))
        for watch in self.on_rollback:
            watch(undone)
        return len(undone)

    def snapshot(self) -> "Snapshot":
        """All there is, as a backup of one moment has it."""
        return Snapshot(
            dict(self.tasks), dict(self.nodes), dict(self.claims), dict(self.runs), dict(self.cases), dict(self.apps),
            list(self.audit), self.epoch,
        )  # fmt: skip

    def put_back(self, snapshot: "Snapshot") -> None:
        """Have a snapshot in the place of all there is."""
        undone: list[Undone] = []
        tables: list[tuple[MutableMapping[Any, Any], MutableMapping[Any, Any]]] = [
            (self.tasks, snapshot.tasks),
            (self.nodes, snapshot.nodes),
            (self.claims, snapshot.claims),
            (self.runs, snapshot.runs),
            (self.cases, snapshot.cases),
            (self.apps, snapshot.apps),
        ]
        for table, kept in tables:
            changed = [key for key in dict.fromkeys((*table, *kept)) if table.get(key) != kept.get(key)]
            undone.extend((table, key, table.get(key), kept.get(key)) for key in changed)
            table.clear()
            table.update(kept)
        self.open = {key: task for key, task in self.tasks.items() if task.state not in TERMINAL}
        self.audit[:] = snapshot.audit
        self.epoch = snapshot.epoch
        self.duties.clear()
        self._taken_at.clear()
        self._past.clear()
        self.sim.log("put back", len(undone), self.epoch)
        for watch in self.on_rollback:
            watch(undone)

    def _put(self, table: MutableMapping[Any, Any], key: Any, new: Any) -> None:
        if self.remembers:
            self._past.append((self.sim.now, table, key, table.get(key)))
            if len(self._past) > 400:
                del self._past[:200]
        table[key] = new

    def _made_here(self, key: int, *, fresh: bool) -> None:
        """A key is new, and made in a millisecond in which its number was its server's own."""
        if not fresh:
            raise Violation("keys", f"key {key} was handed out twice")
        process = self.sim.current
        number = self.duties.get(f"server/{key & 255}")
        if process is None or not self.shared:
            return
        if number is None or number.holder != process.host.name:
            if number is None or born_ms(key) >= self._taken_at[number.name]:
                raise Violation("keys", f"{process.host.name} made key {key} with a number it does not have")
        elif born_ms(key) >= number.until:
            raise Violation("keys", f"{process.host.name} made key {key} when its number could be another's")

    def _file(self, task: Task) -> None:
        if task.state in TERMINAL:
            self.open.pop(task.id, None)
        else:
            self.open[task.id] = task

    # Reads

    def states(self, first: int, count: int) -> dict[int, State]:
        """The states of the tasks there are among `count` keys."""
        return {key: self.tasks[key].state for key in keys_from(first, count) if key in self.tasks}

    def payload(self, key: int) -> bytes:
        """A task's payload as JSON bytes."""
        task = self.tasks.get(key)
        return b"" if task is None or task.spec.payload is None else msgspec.json.encode(task.spec.payload)

    def runs_due(self, now: int, limit: int) -> list[Run]:
        """Runs that are not over and whose time has come."""
        found = [run for run in self.live_runs() if run.wake_at is not None and run.wake_at <= now]
        return sorted(found, key=lambda run: (run.wake_at, run.id))[:limit]

    def apps_due(self, now: int, limit: int) -> list[App]:
        """Apps whose time has come."""
        found = [app for app in self.apps.values() if app.wake_at is not None and app.wake_at <= now]
        return sorted(found, key=lambda app: (app.wake_at, app.id))[:limit]

    def live_runs(self) -> list[Run]:
        """Runs that are not over."""
        return [run for run in self.runs.values() if run.state not in RUN_OVER]

    def cases_page(self, below: int | None, limit: int, owner: str | None) -> list[Case]:
        """Cases by falling id."""
        found = [case for key, case in sorted(self.cases.items(), reverse=True) if below is None or key < below]
        return [case for case in found if owner in (None, case.owner)][:limit]

    def due(self, state: State, now: int, limit: int) -> list[Task]:
        """Tasks of a state whose time has come."""
        found = [
            task
            for task in self.open.values()
            if task.state is state and task.wake_at is not None and task.wake_at <= now
        ]
        return sorted(found, key=lambda task: (task.wake_at, task.id))[:limit]

    def counts(self) -> dict[State, int]:
        """How many tasks are in each state that is not terminal."""
        counts: dict[State, int] = {}
        for task in self.open.values():
            counts[task.state] = counts.get(task.state, 0) + 1
        return counts

    def queued(self, after: int, limit: int) -> list[QueuedRef]:
        """Queued tasks above an id."""
        found = sorted(key for key, task in self.open.items() if key > after and task.state is State.QUEUED)
        return [
            QueuedRef(key, one.spec.priority, one.shape, one.owner)
            for key in found[:limit]
            for one in [self.tasks[key]]
        ]

    def last_key(self) -> int:
        """The highest key of a task, a claim, a step, an item, a copy or an app."""
        claimed = (keys_from(claim.first, claim.count)[-1] for claim in self.claims.values())
        steps = (run.key_of(run.steps - 1) for run in self.runs.values())
        parts = (last_key_of(task.parts) for task in self.tasks.values() if task.parts is not None)
        return max(*self.tasks, *claimed, *steps, *parts, self._newest_app, 0)

    def newest_ms(self, lease_ms: int) -> int:
        """A time (Unix ms) that has been for certain, by all that is written down: when a node was seen, or what is
        left of a wake-up after the longest sleep there is."""
        seen = max((node.seen_at for node in self.nodes.values()), default=0)
        wake = max((task.wake_at or 0 for task in self.open.values()), default=0)
        return max(seen, wake - max(lease_ms, BACKOFF_CAP_MS))

    def host_ms(self) -> int:
        """What whoever writes takes for the time (Unix ms)."""
        process = self.sim.current
        return process.host.now() if process is not None and process.host.now is not None else self.sim.now

    def origin(self) -> Origin:
        """On whose behalf the write under way is made."""
        return self.sim.current.origin if self.sim.current is not None else Origin("setup")


def _stands_for(task: Task) -> tuple[Any, ...]:
    """What a compare-and-set compares: the version, and the fence for versions that come back after a rollback."""
    return task.ver, task.state, task.attempt, task.node, task.session


def _app_stands_for(app: App) -> tuple[Any, ...]:
    return app.ver, app.generations, app.wanted


def _count(items: Sequence[Any], share: float) -> int:
    return len(items) if share >= 1 else int(len(items) * share)
