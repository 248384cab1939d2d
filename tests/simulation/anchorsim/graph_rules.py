"""What must be true of runs, their steps and their items, checked on every write by a plain reading of the rules.

A rollback of unreplicated writes may undo a parent after its child was made, so runs it touched are excused where the
past of their steps is looked at; that they come to an end holds for them, too.
"""

import json
from collections.abc import Sequence

from anchor.core.dag import RUN_OVER, Run, RunState
from anchor.core.items import Items
from anchor.core.plan import Plan
from anchor.core.task import TERMINAL, State, Task
from anchorsim.scheduler import Origin, Violation
from anchorsim.truth import Truth, Undone

ORPHAN_MS = 10_000
"""How long after a head's end an item of it may still begin: whoever made it meanwhile stops it, once it looks."""


class GraphRules:
    """Watches the runs of one simulated cluster."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._plans: dict[int, Plan] = {}
        self._excused: set[int] = set()
        truth.on_task.append(self.task_written)
        truth.on_run.append(self.run_written)
        truth.on_rollback.append(self._rolled_back)

    def task_written(self, old: Task | None, new: Task, _: Origin) -> None:
        """Look at one write of a task, before it is applied."""
        origin = new.origin
        if origin is None:
            return
        begins = new.state is State.LEASED and (old is None or old.state is not State.LEASED)
        if origin.head:
            if new.part_of not in self._excused and origin.head not in self._excused:
                self._item_written(old, new, begins=begins)
            return
        run = self._truth.runs.get(origin.run)
        if run is None or run.id in self._excused:
            return
        if run.state in RUN_OVER and (old is None or begins):
            raise Violation("orphan", f"task {new.id} of run {run.id} begins, and the run has {run.state}")
        if old is None:
            self._step_born(run, new)
        known = self._excused.isdisjoint((new.id, new.part_of))
        if known and isinstance(new.parts, Items) and old is not None and new.state is State.SUCCEEDED:
            self._list_ends(new, new.parts)

    def run_written(self, old: Run | None, new: Run) -> None:
        """Look at one write of a run, before it is applied."""
        if old is not None and old.state in RUN_OVER:
            raise Violation(2, f"run {old.id} had {old.state} and is written again as {new.state}")
        if old is not None and old.state is RunState.CANCELLING and new.state is RunState.RUNNING:
            raise Violation("transition", f"run {old.id} goes from {old.state} to {new.state}")
        if new.state in RUN_OVER and new.id not in self._excused:
            self._run_ends(new)

    def _step_born(self, run: Run, new: Task) -> None:
        step = run.step_of(new.id)
        if new.origin is None or new.origin.step != step or new.id != run.key_of(step) or step >= run.steps:
            raise Violation(8, f"task {new.id} is not step {step} of run {run.id}")
        if new.state is State.CANCELLED:
            return
        plan = self._plan(run)
        for number, parent in enumerate(plan.parents[step]):
            state = self._state(run, plan, parent)
            if state is None:
                raise Violation(8, f"step {step} of run {run.id} begins, and step {parent} has not ended")
            if number < plan.hard[step] and state != State.SUCCEEDED:
                raise Violation(8, f"step {step} of run {run.id} begins, and step {parent} has {state}")

    def _state(self, run: Run, plan: Plan, step: int) -> str | None:
        """How a step ended, `skipped` where it never can run, None where it has not ended."""
        task = self._truth.tasks.get(run.key_of(step))
        if task is not None:
            return str(task.state) if task.state in TERMINAL else None
        ends = [self._state(run, plan, parent) for parent in plan.parents[step][: plan.hard[step]]]
        return "skipped" if any(end is not None and end != State.SUCCEEDED for end in ends) else None

    def _item_written(self, old: Task | None, new: Task, *, begins: bool) -> None:
        origin = new.origin
        if origin is None:
            return
        head = self._truth.tasks.get(origin.head)
        if head is None or head.parts is None:
            raise Violation("items", f"task {new.id} is item of task {origin.head}, which is not there")
        since = self._truth.host_ms() - (head.finished_at or 0)
        if begins and head.state in TERMINAL and since > ORPHAN_MS:
            raise Violation("orphan", f"item {new.id} begins, and its head {head.id} has {head.state} since {since} ms")
        if old is not None:
            return
        if isinstance(head.parts, Items) and (
            not 0 <= origin.number < 2 * head.parts.count or new.id != head.parts.key(origin.number)
        ):
            raise Violation("items", f"task {new.id} is not item {origin.number} of task {head.id}")

    def _list_ends(self, new: Task, parts: Items) -> None:
        halves = [
            [self._truth.tasks.get(parts.key(number)), self._truth.tasks.get(parts.key(number + parts.count))]
            for number in range(parts.count)
        ]
        done = [
            next((task for task in pair if task is not None and task.state is State.SUCCEEDED), None) for pair in halves
        ]
        if sum(task is not None for task in done) < parts.needed:
            raise Violation(9, f"list {new.id} succeeded with too few of {parts.needed} items")
        results = [task.result if task is not None else None for task in done]
        small = all(result is None or not result.blob for result in results)
        if small and new.result is not None and new.result.json:
            wanted = [None if result is None else json.loads(result.json or b"null") for result in results]
            if json.loads(new.result.json) != wanted:
                raise Violation("items", f"list {new.id} has other results than its items, in their order")

    def _run_ends(self, new: Run) -> None:
        plan = self._plan(new)
        live = [
            task.id for task in self._truth.open.values() if task.origin is not None and task.origin.run == new.id
            and not task.origin.head
        ]  # fmt: skip
        if live:
            raise Violation("orphan", f"run {new.id} has {new.state}, and its steps are not over: {live}")
        counted: dict[str, int] = {}
        for step in range(new.steps):
            state = self._state(new, plan, step)
            if state is None:
                raise Violation(8, f"run {new.id} has {new.state}, and step {step} could still run")
            counted[state] = counted.get(state, 0) + 1
        if counted != new.ended:
            raise Violation(21, f"run {new.id} says {new.ended} of its steps, the store {counted}")
        if new.state is RunState.SUCCEEDED and set(counted) - {"succeeded", "skipped"}:
            raise Violation(8, f"run {new.id} succeeded with {counted}")

    def _plan(self, run: Run) -> Plan:
        plan = self._plans.get(run.id)
        if plan is None:
            document = run.plan or self._truth.blobs[run.plan_blob]
            plan = self._plans[run.id] = Plan(document)
        return plan

    def _rolled_back(self, undone: Sequence[Undone]) -> None:
        for table, key, was, again in undone:
            if table is self._truth.runs:
                self._excused.add(key)
                self._plans.pop(key, None)
            elif table is self._truth.tasks:
                for task in (was, again):
                    if task is not None and (task.origin is not None or task.parts is not None):
                        self._excused |= {task.id, task.part_of, task.origin.run if task.origin is not None else 0}
