"""A step ended: what waits for it goes on, and the run ends with its last step.

Whoever ends a step does so in the store first and looks at its children afterwards. What cannot go on yet waits for a
step whose own end comes later, and whoever writes that one looks again: the last to write sees all the others, on
whichever server. A crash in between is mended by the sweep.
"""

from collections import defaultdict
from collections.abc import Sequence

from msgspec.structs import replace

from anchor.core.attempt import Reason
from anchor.core.dag import RUN_OVER, RunState
from anchor.core.ids import wire_id
from anchor.core.run_view import ended_as, tallied, windows
from anchor.core.task import TERMINAL, State, Task
from anchor.failpoints import reached
from anchor.orchestrator.graphs.known import STATES_PER_READ, known_run, look_at
from anchor.orchestrator.graphs.release import release
from anchor.orchestrator.run_memory import Known
from anchor.orchestrator.world import World

CHUNK = 500
"""Steps that are made tasks together."""


async def advance(world: World, tasks: Sequence[Task]) -> None:
    """Go on after these steps of runs, which have ended."""
    by_run: defaultdict[int, list[Task]] = defaultdict(list)
    for task in tasks:
        if task.origin is not None:
            by_run[task.origin.run].append(task)
    for run_id, ended in by_run.items():
        known = await known_run(world, run_id)
        if known is None:
            continue
        for task in ended:
            known.view.note(known.run.step_of(task.id), task.state)
        await go_on(world, known, {task.id: task for task in ended})


async def go_on(world: World, known: Known, ended: dict[int, Task]) -> None:
    """Make the tasks of all steps that may run, and end the run once all have ended. `ended` are tasks just read."""
    while True:
        outlook = known.view.outlook()
        if outlook.ready:
            known.view.released(outlook.ready)
            ended = await _released(world, known, outlook.ready, ended)
        elif not known.view.left:
            await _finish(world, known)
            break
        elif world.sole_writer or not await look_at(world, known, windows(outlook.blockers, STATES_PER_READ)):
            break
    world.bus.tasks_changed([known.run.id])


async def _released(world: World, known: Known, ready: Sequence[int], ended: dict[int, Task]) -> dict[int, Task]:
    over: dict[int, Task] = {}
    for at in range(0, len(ready), CHUNK):
        try:
            made = await release(world, known, ready[at : at + CHUNK], ended)
        except BaseException:
            known.view.held_back(ready[at:])
            raise
        for task in made:
            known.view.note(known.run.step_of(task.id), task.state)
            if task.state in TERMINAL:
                over[task.id] = task
    reached("graphs.released")
    return over


async def _finish(world: World, known: Known) -> None:
    """Write down how a run ended: once, for what it is derived from never changes."""
    run = known.run
    while run.state not in RUN_OVER:
        now = max(world.clock.now(), run.created_at)
        state, step = ended_as(known.view)
        reason = await _reason(world, known, step) if step is not None else None
        if run.state is RunState.CANCELLING:
            state, reason = RunState.CANCELLED, run.reason
        over = replace(
            run,
            ver=run.ver + 1,
            state=state,
            wake_at=None,
            finished_at=now,
            reason=reason,
            ended=tallied(known.view),
        )
        done = await world.store.swap_run(run, over)
        reached("graphs.finished")
        if done:
            break
        read = await world.store.run(run.id)
        if read is None:
            break
        run = read
    world.runs.drop(known.run.id)


async def _reason(world: World, known: Known, step: int) -> Reason:
    name = known.plan.ids[step]
    [task] = await world.store.get([known.key(step)])
    why = task.reason.message if task is not None and task.reason is not None else ""
    inconclusive = task is not None and task.state is State.INCONCLUSIVE
    cancelled = task is not None and task.state is State.CANCELLED
    what = "stayed inconclusive" if inconclusive else "was cancelled" if cancelled else "failed"
    code = "step_inconclusive" if inconclusive else "step_cancelled" if cancelled else "step_failed"
    return Reason(
        code,
        f"Step {name!r} {what}{': ' + why if why else '.'}",
        f"Look at {wire_id('task', known.key(step))}, then run what failed again: "
        f"`anchor dag rerun {wire_id('dag', known.run.id)} --only-failed`.",
    )
