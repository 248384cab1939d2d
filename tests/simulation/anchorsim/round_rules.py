"""What must be true of verified tasks and their copies, checked on every write (invariants 16 and 17).

A rollback of unreplicated writes or a restore may undo a vote after it was counted: rounds they touched are excused.
"""

from collections.abc import Sequence

from anchor.core.ids import STEP
from anchor.core.task import State, Task
from anchor.core.verification import Round
from anchorsim.agent import answer_to
from anchorsim.scheduler import Origin, Violation
from anchorsim.truth import Truth, Undone

AGREE = 2
"""Equal votes that a verified task of the simulated users asks for."""


class RoundRules:
    """Watches the rounds of one simulated cluster."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._excused: set[int] = set()
        truth.on_task.append(self.task_written)
        truth.on_rollback.append(self._rolled_back)

    def task_written(self, old: Task | None, new: Task, _: Origin) -> None:
        """Look at one write of a task, before it is applied."""
        origin = new.origin
        if origin is not None and origin.is_copy and origin.head not in self._excused:
            # Two servers may place two copies at the same moment; which votes count is decided later.
            alone = not self._truth.shared
            if alone and new.state is State.LEASED and (old is None or old.attempt != new.attempt):
                self._placed(new)
        elif isinstance(new.parts, Round) and new.id not in self._excused:
            self._counted(old, new, new.parts)

    def _copies(self, head: Task) -> list[Task]:
        parts = head.parts
        if not isinstance(parts, Round):
            return []
        keys = range(parts.first, parts.first + parts.cap * STEP, STEP)
        return [self._truth.tasks[key] for key in keys if key in self._truth.tasks]

    def _placed(self, new: Task) -> None:
        head = self._truth.tasks.get(new.origin.head) if new.origin is not None else None
        if head is None:
            raise Violation("orphan", f"copy {new.id} is leased, and its head is not there")
        owner = self._truth.nodes[new.node].owner
        for copy in self._copies(head):
            if copy.id == new.id or not copy.node or copy.state in (State.QUEUED, State.BACKOFF):
                continue
            if copy.node == new.node or self._truth.nodes[copy.node].owner == owner:
                raise Violation(16, f"copies {copy.id} and {new.id} of task {head.id} are both on nodes of {owner}")

    def _counted(self, old: Task | None, new: Task, round_: Round) -> None:
        before = old.parts if old is not None else None
        if isinstance(before, Round) and before.verdict is not None and round_.verdict != before.verdict:
            raise Violation(17, f"the verdict on task {new.id} changed")
        owners = [vote.owner for vote in round_.verdict.votes] if round_.verdict is not None else []
        if len(owners) != len(set(owners)):
            raise Violation(16, f"of the votes on task {new.id} several are of one owner: {owners}")
        if round_.asked > round_.cap:
            raise Violation(17, f"task {new.id} asks for {round_.asked} copies of at most {round_.cap}")
        if new.state is State.SUCCEEDED:
            votes = [copy.result for copy in self._copies(new) if copy.state is State.SUCCEEDED]
            equal = [vote for vote in votes if vote is not None and vote == new.result]
            if round_.verdict is None or not round_.verdict.agreed or len(equal) < AGREE:
                raise Violation(17, f"task {new.id} succeeded with {len(equal)} equal votes of {len(votes)}")
            if new.result is not None and new.result.json.decode() != answer_to(new.id):
                raise Violation(17, f"task {new.id} succeeded with a lie: {new.result.json.decode()}")
        elif new.state is State.INCONCLUSIVE and (round_.verdict is None or round_.verdict.agreed):
            raise Violation(17, f"task {new.id} is inconclusive, and its verdict says {round_.verdict}")

    def _rolled_back(self, undone: Sequence[Undone]) -> None:
        for table, _, was, again in undone:
            if table is self._truth.tasks:
                for task in (was, again):
                    if task is not None:
                        self._excused |= {task.id, task.origin.head if task.origin is not None else 0}
