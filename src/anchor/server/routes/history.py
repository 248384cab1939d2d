"""How it went over the last minutes or hours."""

from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Literal

import msgspec

from anchor.core.access import Role
from anchor.core.task import State
from anchor.server.history import MINUTE_MS, Sample, load_of, online
from anchor.server.http import Call, Route
from anchor.wire.history import HistoryPoint, QueueHistory
from anchor.wire.rest import time_of

POINTS_MAX = 60


class HistoryQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many minutes back."""

    minutes: Literal[30, 60, 360, 1440] = 30


async def index(call: Call) -> QueueHistory:
    """Endings as the store counted them, the rest as this server saw it; the step that is not over as it is now."""
    query: HistoryQuery = call.query
    desk, world = call.desk, call.desk.world
    now = world.clock.now()
    until = now // MINUTE_MS + 1
    first, step = until - query.minutes, max(1, query.minutes // POINTS_MAX)
    ended = await world.store.endings(call.owner, first, until)
    # What was sampled is of everybody's tasks, which are not for everybody to see.
    samples = desk.history.within(first, until) if call.owner is None else []
    points = []
    for at in range(first, until, step):
        minutes = range(at, at + step)
        here = [sample for sample in samples if sample.minute in minutes]
        points.append(
            HistoryPoint(
                at=time_of(at * MINUTE_MS),
                done=_sum(ended, minutes, State.SUCCEEDED),
                failed=_sum(ended, minutes, State.FAILED) + _sum(ended, minutes, State.INCONCLUSIVE),
                running=_mean(here, lambda sample: sample.running),
                waiting=_mean(here, lambda sample: sample.waiting),
                median_wait_ms=_median([one.median_wait_ms for one in here if one.median_wait_ms is not None]),
                nodes=_mean(here, lambda sample: sample.nodes),
            )
        )
    running, waiting = load_of(await world.store.counts(call.owner))
    wait = desk.history.waits.median_ms(now) if call.owner is None else None
    points[-1] = msgspec.structs.replace(
        points[-1], running=running, waiting=waiting, median_wait_ms=wait, nodes=await online(world)
    )
    return QueueHistory(step * 60, time_of(max(desk.started_at, first * MINUTE_MS)), points)


def _sum(ended: dict[tuple[int, State], int], minutes: range, state: State) -> int:
    return sum(ended.get((minute, state), 0) for minute in minutes)


def _mean(samples: Sequence[Sample], of: Callable[[Sample], int]) -> int | None:
    return round(fmean(of(sample) for sample in samples)) if samples else None


def _median(waits: Sequence[int]) -> int | None:
    return round(median(waits)) if waits else None


ROUTES = [
    Route(
        method="GET",
        path="/api/queue/history",
        handler=index,
        summary="What was done and failed, ran and waited, over the last minutes or hours",
        query=HistoryQuery,
        roles=(Role.VIEWER,),
        response=QueueHistory,
    )
]
