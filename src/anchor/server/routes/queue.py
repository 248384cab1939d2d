"""How much waits, runs and is done."""

from anchor.core.access import Role
from anchor.core.task import State
from anchor.server.http import Call, Route
from anchor.wire.rest import QueueStats

_EMPTY = QueueStats(waiting=0, active=0, delayed=0, completed=0, failed=0, cancelled=0)


async def stats(call: Call) -> dict[str, QueueStats]:
    """The queues, counted from the truth."""
    counts = await call.desk.world.store.counts(call.owner)
    tasks = QueueStats(
        waiting=counts.get(State.QUEUED, 0),
        active=counts.get(State.LEASED, 0) + counts.get(State.CANCELLING, 0),
        delayed=counts.get(State.BACKOFF, 0),
        completed=counts.get(State.SUCCEEDED, 0),
        failed=counts.get(State.FAILED, 0),
        cancelled=counts.get(State.CANCELLED, 0),
    )
    return {"tasks": tasks, "dag": _EMPTY, "consensus": _EMPTY}


ROUTES = [
    Route(
        method="GET",
        path="/api/queue/stats",
        handler=stats,
        summary="Counts of each queue",
        roles=(Role.VIEWER,),
        response=dict[str, QueueStats],
    )
]
