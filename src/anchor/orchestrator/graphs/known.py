"""What this server knows of a run: its graph, and the states of its steps, read again from the truth."""

from collections.abc import Iterable, Mapping

from anchor.core.dag import RUN_OVER, Drawing, Run
from anchor.core.plan import Plan, drawing_of
from anchor.core.task import State
from anchor.orchestrator.run_memory import Known
from anchor.orchestrator.whole import read_whole
from anchor.orchestrator.world import World

STATES_PER_READ = 5_000


async def known_run(world: World, run_id: int) -> Known | None:
    """A run that is not over, at hand or read anew; None where there is none.

    What ended while it was being read is noted by whoever tells of it, in the one that is kept: no end is missed.
    """
    known = world.runs.get(run_id)
    if known is not None:
        return known
    run = await world.store.run(run_id)
    return None if run is None or run.state in RUN_OVER else await known_as(world, run)


async def known_as(world: World, run: Run) -> Known:
    """This run as the truth has it now: what is at hand of it is brought up to date.

    A step was given a task, and there is none: the task is still being written, or a failover of the store lost it.
    It is given one again, which changes nothing where there is one by then.
    """
    known = world.runs.get(run.id)
    fresh = known is None
    if known is None:
        known = Known(run, await plan_of(world, run))
    elif run.ver > known.run.ver:
        known.run = run
    for first in range(known.view.first_left(), known.plan.size, STATES_PER_READ):
        window = range(first, min(first + STATES_PER_READ, known.plan.size))
        there = await _look(world, known, window)
        if not world.sole_writer:
            known.view.held_back(step for step in window if known.key(step) not in there)
    known.view.look_at_all()
    return world.runs.keep(known) if fresh else known


async def look_at(world: World, known: Known, windows: Iterable[range]) -> bool:
    """Read the states of these steps; whether any was found to have ended since."""
    left = known.view.left
    for window in windows:
        await _look(world, known, window)
    return known.view.left < left


async def _look(world: World, known: Known, window: range) -> Mapping[int, State]:
    states = await world.store.states(known.key(window.start), len(window))
    for key, state in states.items():
        known.view.note(known.run.step_of(key), state)
    return states


async def plan_of(world: World, run: Run) -> Plan:
    """A run's graph by number."""
    known = world.runs.get(run.id)
    return known.plan if known is not None else Plan(await _document(world, run))


async def drawing_of_run(world: World, run: Run) -> Drawing:
    """A run's graph as it was submitted, normalised, and what it took over from the run before."""
    return drawing_of(await _document(world, run))


async def _document(world: World, run: Run) -> bytes:
    if run.plan_blob:
        return await read_whole(world.blobs, run.plan_blob)
    if not run.plan:
        whole = await world.store.run(run.id)  # lists come without it
        return whole.plan if whole is not None else b""
    return run.plan
