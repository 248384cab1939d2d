"""How much waits, runs and is done, and how it moves."""

from anchor.core.access import Role
from anchor.core.dag import RunState
from anchor.core.task import State
from anchor.ports.store import PULSE_MINUTES
from anchor.server.http import Call, Route
from anchor.wire.rest import QueueStats


async def stats(call: Call) -> dict[str, QueueStats]:
    """The queues, counted from the truth: tasks, runs of graphs, and tasks that copies verify."""
    world = call.desk.world
    now = world.clock.now()
    counts = await world.store.counts(call.owner)
    pulse = await world.store.pulse(call.owner, now)
    tasks = QueueStats(
        waiting=counts.get(State.QUEUED, 0),
        active=counts.get(State.LEASED, 0) + counts.get(State.CANCELLING, 0),
        delayed=counts.get(State.BACKOFF, 0),
        completed=counts.get(State.SUCCEEDED, 0),
        failed=counts.get(State.FAILED, 0),
        cancelled=counts.get(State.CANCELLED, 0),
        completed_per_minute=pulse.ended.get(State.SUCCEEDED, 0) / PULSE_MINUTES,
        failed_per_minute=pulse.ended.get(State.FAILED, 0) / PULSE_MINUTES,
        oldest_waiting_seconds=_age(pulse.oldest_queued, now),
        oldest_active_seconds=_age(pulse.oldest_leased, now),
    )
    runs = await world.store.run_counts(call.owner)
    dag = QueueStats(
        waiting=0,
        active=runs.get(RunState.RUNNING, 0) + runs.get(RunState.CANCELLING, 0),
        delayed=0,
        completed=runs.get(RunState.SUCCEEDED, 0),
        failed=runs.get(RunState.FAILED, 0),
        cancelled=runs.get(RunState.CANCELLED, 0),
    )
    rounds = await world.store.round_counts(call.owner)
    consensus = QueueStats(
        waiting=0,
        active=rounds.get(State.VERIFYING, 0) + rounds.get(State.CANCELLING, 0),
        delayed=0,
        completed=rounds.get(State.SUCCEEDED, 0),
        failed=rounds.get(State.FAILED, 0) + rounds.get(State.INCONCLUSIVE, 0),
        cancelled=rounds.get(State.CANCELLED, 0),
    )
    return {"tasks": tasks, "dag": dag, "consensus": consensus}


def _age(born: int | None, now: int) -> float | None:
    return None if born is None else max(0, now - born) / 1000


ROUTES = [
    Route(
        method="GET",
        path="/api/queue/stats",
        handler=stats,
        summary="Counts, rates and ages of each queue",
        roles=(Role.VIEWER,),
        response=dict[str, QueueStats],
    )
]
