"""Runs of graphs as the API shows them: every step's state, read off its task."""

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256

import msgspec

from anchor.core.dag import RUN_OVER, Run, StepState
from anchor.core.ids import STEP, wire_id
from anchor.core.items import Items
from anchor.core.run_view import Mark
from anchor.core.run_view import RunView as Derived
from anchor.core.task import TERMINAL, State, Task
from anchor.server import views
from anchor.server.desk import Desk
from anchor.server.sketches import Sketch
from anchor.wire.dags import ItemsView, LevelView, RunCreated, RunListed, RunRow, RunView, StepView
from anchor.wire.rest import time_of

LEVELS_SHOWN_MAX = 100
FAILURES_SHOWN_MAX = 20
REMOVED = "removed"
"""A step whose task is past its retention."""
_OVER = frozenset({*map(str, TERMINAL), StepState.SKIPPED, StepState.REUSED, REMOVED})
_FAILED = frozenset({State.FAILED, State.INCONCLUSIVE, State.CANCELLED})


class Seen(msgspec.Struct, frozen=True):
    """A run and where each of its steps is, by number."""

    run: Run
    sketch: Sketch
    states: list[str]


def seen(run: Run, sketch: Sketch, tasks: dict[int, State]) -> Seen:
    """What the states of a run's tasks (by key) say of its steps."""
    plan = sketch.plan
    derived = Derived(plan)
    for key, state in tasks.items():
        derived.note(run.step_of(key), state)
    derived.outlook()
    states: list[str] = [REMOVED if run.state in RUN_OVER else StepState.WAITING] * plan.size
    for number, mark in enumerate(derived.marks):
        if mark == Mark.SKIPPED:
            states[number] = StepState.SKIPPED
    for key, state in tasks.items():
        number = run.step_of(key)
        is_reused = state is State.SUCCEEDED and number in plan.reused
        states[number] = StepState.REUSED if is_reused else state
    return Seen(run, sketch, states)


def created(run: Run) -> RunCreated:
    """A run just accepted."""
    return RunCreated(
        id=wire_id("dag", run.id), name=run.name, state=run.state, steps=run.steps, created_at=time_of(run.created_at)
    )


def _row(run: Run) -> dict[str, object]:
    return {
        "id": wire_id("dag", run.id),
        "name": run.name,
        "kind": run.kind,
        "state": run.state,
        "steps": run.steps,
        "labels": list(run.labels),
        "reason": run.reason,
        "rerun_of": wire_id("dag", run.rerun_of) if run.rerun_of else None,
        "created_at": time_of(run.created_at),
        "finished_at": time_of(run.finished_at) if run.finished_at is not None else None,
    }


def row(run: Run) -> RunRow:
    """A run in a list."""
    return RunRow(**_row(run))  # type: ignore[arg-type]


def listed(run: Run, counts: dict[str, int] | None) -> RunListed:
    """A run in the list of all."""
    return RunListed(**_row(run), owner=run.owner, counts=counts)  # type: ignore[arg-type]


async def view(what: Seen, desk: Desk, *, steps_max: int) -> RunView:
    """A run, whole; its steps where it has at most `steps_max`."""
    states, plan = what.states, what.sketch.plan
    failed = [number for number, state in enumerate(states) if state in _FAILED][:FAILURES_SHOWN_MAX]
    over = sum(1 for state in states if state in _OVER)
    shown = RunView(
        **_row(what.run),  # type: ignore[arg-type]
        version="",
        owner=what.run.owner,
        counts=dict(Counter(states)),
        progress=over / len(states),
        failures=await steps(what, failed, desk),
        levels=_levels(what.sketch.levels, states),
        step_list=await steps(what, range(plan.size), desk) if plan.size <= steps_max else None,
    )
    return msgspec.structs.replace(shown, version=sha256(msgspec.json.encode(shown)).hexdigest()[:16])


async def steps(what: Seen, numbers: Sequence[int], desk: Desk) -> list[StepView]:
    """These steps of a run, with what their tasks say."""
    keys = [task_key(what, number) for number in numbers]
    with_task = [key for key in keys if key]
    tasks = await desk.world.store.get(with_task) if with_task else []
    found = {task.id: task for task in tasks if task is not None}
    shown = []
    for number, key in zip(numbers, keys, strict=True):
        task = found.get(key)
        items = await _items(task, desk) if task is not None and isinstance(task.parts, Items) else None
        shown.append(_step(what, number, task, items, desk))
    return shown


def task_key(what: Seen, number: int) -> int:
    """The task of a step; 0 where it has none."""
    state = what.states[number]
    # A task may be waiting, too: for its items.
    if state is StepState.WAITING or state in (StepState.SKIPPED, REMOVED):
        return 0
    return what.run.key_of(number)


def _step(what: Seen, number: int, task: Task | None, items: ItemsView | None, desk: Desk) -> StepView:
    step = what.sketch.plan.step(number)
    state = what.states[number]
    if task is not None and state != StepState.REUSED:
        state = views.shown_state(task, desk.world.fleet)
    return StepView(
        id=step.id,
        name=step.name or step.id,
        state=state,
        task_id=wire_id("task", task.id) if task is not None else None,
        dependencies=step.dependencies,
        soft_dependencies=step.soft_dependencies,
        level=what.sketch.levels[number],
        items=items,
        started_at=time_of(task.leased_at) if task is not None and task.leased_at is not None else None,
        finished_at=time_of(task.finished_at) if task is not None and task.finished_at is not None else None,
        reason=task.reason if task is not None else None,
        node_id=(task.node or None) if task is not None else None,
        attempt=task.attempt if task is not None else 0,
    )


async def _items(task: Task, desk: Desk) -> ItemsView:
    """How many of a parallel step's items have ended, in the first copy or the second."""
    parts = task.parts
    assert isinstance(parts, Items)
    if task.state is State.SUCCEEDED or not parts.count:
        return ItemsView(done=parts.count, total=parts.count)
    states = await desk.world.store.states(parts.first, 2 * parts.count)
    ended: set[int] = set()
    for key, state in states.items():
        number = (key - parts.first) // STEP
        if state is State.SUCCEEDED or (state in TERMINAL and number < parts.count):
            ended.add(number % parts.count)
    return ItemsView(done=len(ended), total=parts.count)


def _levels(levels: Sequence[int], states: Iterable[str]) -> list[LevelView]:
    """Counts by level; of a deep graph several levels at a time."""
    width = max(levels) // LEVELS_SHOWN_MAX + 1
    counts: dict[int, Counter[str]] = {}
    for level, state in zip(levels, states, strict=True):
        counts.setdefault(level // width, Counter())[state] += 1
    deepest = max(levels)
    return [
        LevelView(first=at * width, last=min((at + 1) * width - 1, deepest), counts=dict(counts[at]))
        for at in sorted(counts)
    ]
