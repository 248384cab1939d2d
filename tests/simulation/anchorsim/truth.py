"""The store all simulated servers share: plain dicts, compare-and-set on `ver`, every acknowledged write kept."""

from collections.abc import Callable, Sequence
from typing import Any

from anchor.core.node import Node
from anchor.core.task import TERMINAL, State, Task
from anchor.ports.store import Claim, QueuedRef, Swap
from anchorsim.scheduler import Call, Origin, Simulator

TaskSeen = Callable[[Task | None, Task, Origin], None]
NodeSeen = Callable[[Node | None, Node, Origin], None]


class Truth:
    """What is written down. Whoever watches sees every write, old and new, at the moment it happens."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.tasks: dict[int, Task] = {}
        self.open: dict[int, Task] = {}
        self.nodes: dict[str, Node] = {}
        self.claims: dict[tuple[str, str], Claim] = {}
        self.blobs: dict[str, bytes] = {}
        self.blind = False
        self.on_task: list[TaskSeen] = []
        self.on_node: list[NodeSeen] = []

    def put_task(self, new: Task) -> None:
        """Write a task down and show the write to everybody who watches."""
        old = self.tasks.get(new.id)
        origin = self._origin()
        self.sim.log(
            "task", new.id, new.ver, str(new.state), new.attempt, new.charged, new.node, new.session, origin.kind
        )
        for watch in self.on_task:
            watch(old, new, origin)
        self.tasks[new.id] = new
        if new.state in TERMINAL:
            self.open.pop(new.id, None)
        else:
            self.open[new.id] = new

    def put_node(self, new: Node) -> None:
        """Write a node down and show the write to everybody who watches."""
        old = self.nodes.get(new.id)
        origin = self._origin()
        self.sim.log("node", new.id, new.ver, str(new.status), new.session, origin.kind)
        for watch in self.on_node:
            watch(old, new, origin)
        self.nodes[new.id] = new

    def insert(self, tasks: Sequence[Task], share: float) -> list[bool]:
        """Write the leading share of new tasks."""
        done = []
        for task in tasks[: _count(tasks, share)]:
            done.append(task.id not in self.tasks)
            if done[-1]:
                self.put_task(task)
        return done

    def swap(self, swaps: Sequence[Swap], share: float) -> list[bool]:
        """Compare-and-set the leading share of swaps."""
        done = []
        for swap in swaps[: _count(swaps, share)]:
            stored = self.tasks.get(swap.old.id)
            done.append(stored is not None and (self.blind or stored.ver == swap.old.ver))
            if done[-1]:
                self.put_task(swap.new)
        return done

    def swap_node(self, old: Node, new: Node) -> bool:
        """Compare-and-set a node."""
        stored = self.nodes.get(old.id)
        if stored is None or not (self.blind or stored.ver == old.ver):
            return False
        self.put_node(new)
        return True

    def claim(self, claim: Claim) -> Claim:
        """Keep a claim, or say which one was there first."""
        return self.claims.setdefault((claim.owner, claim.key), claim)

    def fulfil(self, claim: Claim) -> None:
        """Mark a claim as carried out."""
        kept = self.claims[claim.owner, claim.key]
        self.claims[claim.owner, claim.key] = Claim(
            kept.owner, kept.key, kept.digest, kept.first, kept.count, True, kept.at
        )

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
        return [QueuedRef(key, self.tasks[key].spec.priority, self.tasks[key].shape) for key in found[:limit]]

    def _origin(self) -> Origin:
        return self.sim.current.origin if self.sim.current is not None else Origin("setup")


def _count(items: Sequence[Any], share: float) -> int:
    return len(items) if share >= 1 else int(len(items) * share)


class SimStore:
    """As much of the store port as the orchestrator awaits; a call is under way, then happens, then is heard of."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def insert(self, tasks: Sequence[Task]) -> list[bool]:
        return await Call(lambda share: self._truth.insert(tasks, share), writes=True)

    async def swap(self, swaps: Sequence[Swap]) -> list[bool]:
        if not swaps:
            return []
        return await Call(lambda share: self._truth.swap(swaps, share), writes=True)

    async def get(self, ids: Sequence[int]) -> list[Task | None]:
        return await Call(lambda _: [self._truth.tasks.get(key) for key in ids])

    async def due(self, state: State, now: int, limit: int) -> list[Task]:
        return await Call(lambda _: self._truth.due(state, now, limit))

    async def queued(self, after: int, limit: int) -> list[QueuedRef]:
        return await Call(lambda _: self._truth.queued(after, limit))

    async def counts(self, owner: str | None) -> dict[State, int]:
        return await Call(lambda _: self._truth.counts())

    async def swap_node(self, old: Node, new: Node) -> bool:
        return await Call(lambda _: self._truth.swap_node(old, new), writes=True)

    async def node(self, node_id: str) -> Node | None:
        return await Call(lambda _: self._truth.nodes.get(node_id))

    async def nodes(self) -> list[Node]:
        return await Call(lambda _: [self._truth.nodes[key] for key in sorted(self._truth.nodes)])

    async def claim(self, claim: Claim) -> Claim:
        return await Call(lambda _: self._truth.claim(claim), writes=True)

    async def fulfil(self, claim: Claim) -> None:
        await Call(lambda _: self._truth.fulfil(claim), writes=True)
