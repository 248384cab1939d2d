"""The audit trail: who did what, newest first."""

from typing import Annotated

import msgspec
from msgspec import Meta

from anchor.core.access import Role
from anchor.core.audit import Entry
from anchor.server.http import Answer, Call, Route
from anchor.server.paging import next_link, read_cursor
from anchor.wire.rest import AuditEntry, time_of

CURSOR = "a"
PAGE = 1000
LOOKED_AT_MAX = 20_000
"""Entries that one request looks at, at most, however few of them are of the kind asked for."""


class AuditQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which entries, how many, and where to go on."""

    kind: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: str | None = None


async def index(call: Call) -> Answer:
    """Entries by falling number."""
    query: AuditQuery = call.query
    store = call.desk.world.store
    below = read_cursor(CURSOR, query.cursor)
    found: list[Entry] = []
    looked_at = 0
    while len(found) < query.limit and looked_at < LOOKED_AT_MAX and below != 1:
        page = await store.audit_page(below, query.limit if query.kind is None else PAGE)
        if not page:
            below = 1
            break
        for entry in page:
            below = entry.number
            looked_at += 1
            if query.kind is None or entry.kind == query.kind:
                found.append(entry)
                if len(found) == query.limit:
                    break
    headers = {}
    if query.kind is None:
        newest = await store.audit_tail()
        headers["x-total-count"] = str(0 if newest is None else newest.number)
    if below is not None and below > 1:
        headers["link"] = next_link("/api/audit", CURSOR, below, limit=query.limit, kind=query.kind)
    return Answer([entry_view(entry) for entry in found], headers=headers)


def entry_view(entry: Entry) -> AuditEntry:
    """An entry of the trail as it is shown."""
    return AuditEntry(
        number=entry.number,
        at=time_of(entry.at),
        kind=entry.kind,
        subject=entry.subject,
        message=entry.message,
        by=entry.by,
        seal=entry.seal,
    )


ROUTES = [
    Route(
        method="GET",
        path="/api/audit",
        handler=index,
        summary="The audit trail: who did what, newest first",
        roles=(Role.OPERATOR,),
        query=AuditQuery,
        response=list[AuditEntry],
    ),
]
