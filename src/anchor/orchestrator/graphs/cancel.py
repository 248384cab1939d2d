"""A user ends a run: no step begins any more, and those under way are stopped."""

from msgspec.structs import replace

from anchor.core.attempt import Reason
from anchor.core.dag import RUN_OVER, Run, RunState
from anchor.core.errors import Conflict, FailureCode, NotFound, Unavailable
from anchor.core.ids import wire_id
from anchor.failpoints import reached
from anchor.orchestrator.cancel import cancel_all
from anchor.orchestrator.graphs.advance import go_on
from anchor.orchestrator.graphs.known import known_as
from anchor.orchestrator.graphs.release import WITH_RUN
from anchor.orchestrator.run_memory import Known
from anchor.orchestrator.settle import TRIES_MAX
from anchor.orchestrator.world import World

CHUNK = 500


async def cancel(world: World, run_id: int, *, by: str) -> Run:
    """The run as it is after the wish was written down: cancelled, or cancelling until its last step has ended."""
    for _ in range(TRIES_MAX):
        run = await world.store.run(run_id)
        name = wire_id("dag", run_id)
        if run is None:
            raise NotFound(f"There is no graph run {name}.", hint="List runs with `anchor dag ls`.")
        if run.state in (RunState.SUCCEEDED, RunState.FAILED):
            raise Conflict(
                f"The run has {run.state} already; there is nothing left to cancel.",
                hint=f"To run what failed again: `anchor dag rerun {name} --only-failed`.",
                code="already_finished",
            )
        if run.state is RunState.CANCELLED:
            return run
        if run.state is RunState.RUNNING:
            reason = Reason(FailureCode.CANCELLED, f"Cancelled by {by}.")
            now = world.clock.now()
            wanted = replace(run, ver=run.ver + 1, state=RunState.CANCELLING, wake_at=now, reason=reason)
            done = await world.store.swap_run(run, wanted)
            reached("graphs.cancelling")
            if not done:
                continue
            run = wanted
        await stop(world, await known_as(world, run))
        return await world.store.run(run_id) or run
    raise Unavailable("The run changed too often to cancel it.", hint="Try again.", retry_after_seconds=1)


async def stop(world: World, known: Known) -> None:
    """Stop the steps of a run that is cancelling, and see to it that none begins; end it where all are over.

    Another server may make tasks of steps until it hears of it. Of the steps that could begin each has a cancelled task
    in the end, either that server's or the one made here, and so the rest can never begin.
    """
    stopped: set[int] = set()
    while True:
        live = [step for step in known.view.there() if step not in stopped]
        for at in range(0, len(live), CHUNK):
            page = live[at : at + CHUNK]
            for task in await cancel_all(world, [known.key(step) for step in page], reason=WITH_RUN):
                known.view.note(known.run.step_of(task.id), task.state)
        stopped.update(live)
        await go_on(world, known, {})
        if known.run.state in RUN_OVER or not any(step not in stopped for step in known.view.there()):
            return
