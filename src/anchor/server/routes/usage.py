"""What was used and given: by owner, node or app, and day by day."""

import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from anchor.core.access import Role
from anchor.core.usage import DAY_MS, DAYS_KEPT, Sum
from anchor.server.http import Call, Route
from anchor.wire.records import UsageDay, UsageRow, UsageView
from anchor.wire.rest import time_of

_EPOCH = datetime.date(1970, 1, 1)


class UsageQuery(msgspec.Struct, forbid_unknown_fields=True):
    """By what, and of how many days: today (UTC) is the last of them."""

    by: Literal["owner", "node", "app"] = "owner"
    days: Annotated[int, Meta(ge=1, le=DAYS_KEPT)] = 7


async def index(call: Call) -> UsageView:
    """The sums of the asker's own tasks and apps where it may see no others."""
    query: UsageQuery = call.query
    store = call.desk.world.store
    today = call.desk.world.clock.now() // DAY_MS
    since = today - query.days + 1
    rows = await store.usage(query.by, since=since, owner=call.owner)
    by_day = {one.name: one for one in await store.usage("day", since=since, owner=call.owner)}
    owners = {node.id: node.owner for node in await store.nodes()} if query.by == "node" else {}
    rows.sort(key=lambda one: (-one.cpu_ms, -one.wall_ms, one.name))
    return UsageView(
        since=time_of(since * DAY_MS),
        by=query.by,
        rows=[
            UsageRow(
                name=one.name,
                owner=owners.get(one.name, ""),
                tasks=one.tasks,
                failed=one.failed,
                attempts=one.attempts,
                cpu_seconds=one.cpu_ms / 1000,
                wall_seconds=one.wall_ms / 1000,
            )
            for one in rows
        ],
        days=[_day(day, by_day.get(str(day))) for day in range(since, today + 1)],
    )


def _day(day: int, sums: Sum | None) -> UsageDay:
    one = sums or Sum("", 0, 0, 0, 0, 0)
    return UsageDay(
        day=_EPOCH + datetime.timedelta(days=day),
        tasks=one.tasks,
        failed=one.failed,
        attempts=one.attempts,
        cpu_seconds=one.cpu_ms / 1000,
        wall_seconds=one.wall_ms / 1000,
    )


ROUTES = [
    Route(
        method="GET",
        path="/api/usage",
        handler=index,
        summary="What was used and given: by owner, node or app, and day by day",
        roles=(Role.VIEWER,),
        query=UsageQuery,
        response=UsageView,
    ),
]
