"""Runs are looked at again on a timer, whatever was lost: a message, a memory, a server."""

from msgspec.structs import replace

from anchor.core.dag import Run, RunState
from anchor.failpoints import reached
from anchor.orchestrator.graphs.advance import go_on
from anchor.orchestrator.graphs.cancel import stop
from anchor.orchestrator.graphs.known import known_as
from anchor.orchestrator.world import World

SWEEP_MS = 30_000
"""How long a run rests until it is looked at again though nothing was heard of it."""
STOP_AGAIN_MS = 2_000
PAGE = 50


async def sweep(world: World, now: int) -> None:
    """Look at the runs that are due; at a server's start at all that are not over."""
    until = now if world.swept_at else now + SWEEP_MS - 1
    while due := await world.store.runs_due(until, PAGE):
        for run in due:
            await _look_at(world, run, now=max(now, world.clock.now()))
        if len(due) < PAGE:
            break


async def _look_at(world: World, run: Run, *, now: int) -> None:
    """The next look is put off first, so that a run that cannot be looked at keeps no other from it."""
    later = now + (STOP_AGAIN_MS if run.state is RunState.CANCELLING and world.swept_at else SWEEP_MS)
    rested = replace(run, ver=run.ver + 1, wake_at=later)
    done = await world.store.swap_run(run, rested)
    reached("graphs.rested")
    if not done:
        return  # somebody else looks at it
    known = await known_as(world, rested)
    if rested.state is RunState.CANCELLING:
        await stop(world, known)
    else:
        await go_on(world, known, {})
