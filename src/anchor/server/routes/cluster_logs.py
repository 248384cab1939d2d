"""What the replicas of an app print, and how they are built: at once as a list, or as it comes over server-sent
events; all replicas together, in the order in which it came."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from anchor.core.access import Role
from anchor.core.errors import InvalidRequest
from anchor.ports.store import LogChunk
from anchor.server import app_views
from anchor.server.app_log import generations_in, read_behind
from anchor.server.app_output import ORIGIN_SEQ, Origin
from anchor.server.desk import Desk
from anchor.server.http import Answer, Call, Route
from anchor.server.routes.clusters import find
from anchor.server.routes.logs import EVENTS, KEEP_ALIVE_SECONDS
from anchor.wire.apps import AppLine, AppRow
from anchor.wire.rest import time_of

PIECES_MAX = 10_000
SETTLING_MS = 100
"""What came less long ago is not shown yet: what came before it may still be on its way into the store."""
LOOK_SECONDS = 1.0
"""How often an app that somebody watches is looked at though nobody said that it changed."""
_POSITION = re.compile("[0-9]{1,16}")
_encode = msgspec.json.Encoder().encode


class LogQuery(msgspec.Struct, forbid_unknown_fields=True):
    """`follow` for server-sent events; `after` an id to go on behind; the newest `tail` lines, or up to `limit` pieces
    from the oldest on; of one `process` or one `generation` only."""

    follow: bool = False
    after: str | None = None
    tail: Annotated[int, Meta(ge=0, le=PIECES_MAX)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PIECES_MAX)] = PIECES_MAX
    process: str | None = None
    generation: Annotated[int, Meta(ge=1)] | None = None


async def logs(call: Call) -> Answer:
    """What an app's replicas print."""
    app = await find(call)
    query: LogQuery = call.query
    reader = _Reader(call.desk, app.id, query, _position(query.after or call.headers.get("last-event-id")))
    if query.follow:
        stream = _follow(call.desk, app.id, reader, query.tail)
        return Answer(stream=stream, content_type=f"{EVENTS}; charset=utf-8", endless=True)
    newest: deque[AppLine] = deque(maxlen=query.tail)
    async for lines in reader.all():
        newest += lines
        if query.tail is None and len(newest) >= query.limit:
            break
    return Answer(_last_lines(newest, query.tail)[: query.limit])


class _Reader:
    """Reads on from where it was, over all generations that are asked for."""

    def __init__(self, desk: Desk, app_id: int, query: LogQuery, after: int) -> None:
        self._desk = desk
        self._app_id = app_id
        self._query = query
        self._after = after
        self._newest = 0
        self._origins: dict[int, Origin] = {}
        self._places: dict[int, int] = {}

    async def all(self, *, settled: bool = False) -> AsyncIterator[list[AppLine]]:
        """All that there is now and was not read before, page by page; `settled` leaves out what has just come."""
        store = self._desk.world.store
        found = await generations_in(store, self._app_id, self._newest)
        self._newest = max(found, default=self._newest)
        for generation, origin in found.items():
            if self._query.process in (None, origin.process) and self._query.generation in (None, generation):
                self._origins[generation] = origin
                self._places[generation] = self._after
        settled_ms = self._desk.world.clock.now() - SETTLING_MS
        up_to = settled_ms * 1000 if settled else ORIGIN_SEQ - 1
        while pieces := await read_behind(store, self._app_id, self._places, up_to=up_to):
            for piece in pieces:
                self._places[piece.attempt] = piece.seq
            yield [_line(piece, self._origins[piece.attempt]) for piece in pieces]


async def _follow(desk: Desk, app_id: int, reader: _Reader, tail: int | None) -> AsyncIterator[bytes]:
    world = desk.world
    shown: AppRow | None = None
    silent_since = world.clock.now()
    if tail is not None:
        await asyncio.sleep(SETTLING_MS / 1000)  # what there is when this is asked for is what it is the tail of
    with world.bus.watch_task(app_id) as watch:
        while True:
            app = await world.store.app(app_id)
            if app is None:
                yield _event("end", {})
                return
            # What it uses changes all the time, and is no news of its state.
            row = replace(app_views.row(app, desk), cpu=None, memory_mib=None)
            if row != shown:
                shown, silent_since = row, world.clock.now()
                yield _event("state", row)
            newest: deque[AppLine] = deque(maxlen=tail)
            async for lines in reader.all(settled=True):
                silent_since = world.clock.now()
                if tail is not None:
                    newest += lines
                    continue
                for line in lines:
                    yield f"id: {line.id}\n".encode() + _event("output", line)
            for line in _last_lines(newest, tail):
                yield f"id: {line.id}\n".encode() + _event("output", line)
            tail = None
            if await watch.changed(LOOK_SECONDS):
                await asyncio.sleep(SETTLING_MS / 1000)
            if world.clock.now() - silent_since > KEEP_ALIVE_SECONDS * 1000:
                silent_since = world.clock.now()
                yield b": still here\n\n"


def _last_lines(pieces: Iterable[AppLine], tail: int | None) -> list[AppLine]:
    """The newest pieces with `tail` lines in all (None: all of them); of the first of them its last lines."""
    if tail is None:
        return list(pieces)
    found: deque[AppLine] = deque()
    for piece in reversed(list(pieces)):
        if tail == 0:
            break
        lines = piece.text.removesuffix("\n").split("\n")[-tail:]
        tail -= len(lines)
        found.appendleft(replace(piece, text="\n".join(lines) + "\n"))
    return list(found)


def _event(name: str, value: object) -> bytes:
    return f"event: {name}\ndata: ".encode() + _encode(value) + b"\n\n"


def _line(piece: LogChunk, origin: Origin) -> AppLine:
    return AppLine(
        id=str(piece.seq),
        at=time_of(piece.at),
        process=origin.process,
        index=origin.index,
        release=origin.release,
        generation=piece.attempt,
        node_id=origin.node,
        stream=piece.stream,
        text=piece.text,
    )


def _position(text: str | None) -> int:
    if not text:
        return 0
    if not _POSITION.fullmatch(text):
        raise InvalidRequest(
            f"{text[:40]!r} is no position in the log of an app.",
            hint="Use the id of the last event.",
            code="invalid_position",
        )
    return int(text)


ROUTES = [
    Route(
        method="GET",
        path="/api/clusters/{id}/logs",
        handler=logs,
        summary="What an app's replicas printed; follow=1 streams it (Last-Event-ID resumes)",
        roles=(Role.VIEWER,),
        query=LogQuery,
        response=list[AppLine],
        stream_type=EVENTS,
    )
]
