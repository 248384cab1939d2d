"""How much waits, runs and is done, and how it moves."""

from anchor.core.access import Role
from anchor.core.task import State
from anchor.ports.store import PULSE_MINUTES
from anchor.server.http import Call, Route
from anchor.wire.rest import QueueStats

_EMPTY = QueueStats(waiting=0, active=0, delayed=0, completed=0, failed=0, cancelled=0)


async def stats(call: Call) -> dict[str, QueueStats]:
    """The queues, counted from the truth."""
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
    return {"tasks": tasks, "dag": _EMPTY, "consensus": _EMPTY}


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
