"""Tasks that must not share a node, nor perhaps an owner: copies that check each other, and second copies of items.

What is known here makes it rare that two do. Two servers may still lease two copies at the same moment: which votes
count is decided from the documents, when the round is tallied.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

from anchor.core.ids import keys_from
from anchor.core.task import Task
from anchor.orchestrator.fleet import Seat
from anchor.orchestrator.world import World


class Apart:
    """Where the siblings of some tasks are, or were; kept up to date while these tasks are placed one by one."""

    def __init__(self) -> None:
        self._nodes: defaultdict[int, set[str]] = defaultdict(set)
        self._owners: defaultdict[int, set[str]] = defaultdict(set)
        self._among: defaultdict[int, list[int]] = defaultdict(list)

    def barred(self, task: Task) -> Callable[[Seat], bool] | None:
        """Which seats this task must not get; None where it may have any."""
        if task.origin is None or task.origin.apart is None:
            return None
        nodes = self._nodes[task.id]
        owners = self._owners[task.id] if task.origin.owners_apart else set()
        return lambda seat: seat.node in nodes or seat.record.owner in owners

    def against(self, task: Task, node: str, owner: str) -> str | None:
        """Why this task must not get a node of this owner, or None where it may."""
        if task.origin is None or task.origin.apart is None:
            return None
        if node in self._nodes[task.id]:
            return "has run a copy of it already"
        if task.origin.owners_apart and owner in self._owners[task.id]:
            return f"belongs to {owner}, like a node that has run a copy of it"
        return None

    def placed(self, task: Task, seat: Seat) -> None:
        """A task of the batch got this seat: its siblings in the batch do not get it, too."""
        for sibling in self._among.get(task.id, ()):
            self.add(sibling, seat.node, seat.record.owner)

    def add(self, task: int, node: str, owner: str) -> None:
        """Keep a task from a node and its owner."""
        self._nodes[task].add(node)
        self._owners[task].add(owner)

    def known(self, task: int, sibling: int) -> None:
        """Both are in the batch, and `sibling` has to keep away from where `task` goes."""
        self._among[task].append(sibling)


_NOBODY = Apart()
"""For tasks of which none has to be apart from any: nothing is ever noted in it."""


async def apart(world: World, tasks: Sequence[Task]) -> Apart:
    """Read where the siblings of these tasks are: one read, and none where nobody has to be apart."""
    apart_ones = [task for task in tasks if task.origin is not None and task.origin.apart is not None]
    if not apart_ones:
        return _NOBODY
    found = Apart()
    in_batch = {task.id for task in tasks}
    siblings = {task.id: siblings_of(task) for task in apart_ones}
    ids = list(dict.fromkeys(one for several in siblings.values() for one in several))
    where = {one.id: one for one in await world.store.get(ids) if one is not None and one.node}
    for task in apart_ones:
        for sibling in siblings[task.id]:
            if sibling in in_batch:
                found.known(sibling, task.id)
            if sibling in where:
                node = where[sibling].node
                found.add(task.id, node, await owner_of(world, node))
    return found


def siblings_of(task: Task) -> list[int]:
    """The ids of the tasks that this one has to be apart from."""
    if task.origin is None or task.origin.apart is None:
        return []
    first, count = task.origin.apart
    return [one for one in keys_from(first, count) if one != task.id]


async def owner_of(world: World, node: str) -> str:
    """Whose machine a node is, also where it is not connected to this server."""
    seat = world.fleet.seat(node)
    record = seat.record if seat is not None else await world.store.node(node)
    return record.owner if record is not None else ""
