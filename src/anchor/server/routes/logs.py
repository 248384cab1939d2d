"""What tasks print: at once as a list, or as it comes over server-sent events."""

import re
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from msgspec import Meta

from anchor.core.access import Role
from anchor.core.errors import InvalidRequest
from anchor.core.ids import STEP
from anchor.core.progress import read_progress
from anchor.core.task import TERMINAL, Task
from anchor.core.verification import Round
from anchor.ports.store import LogChunk
from anchor.server import views
from anchor.server.desk import Desk
from anchor.server.http import Answer, Call, Route
from anchor.server.routes.tasks import find
from anchor.server.veil import require_open
from anchor.wire.rest import LogLine, time_of

EVENTS = "text/event-stream"
PAGE = 500
KEEP_ALIVE_SECONDS = 15.0
_POSITION = re.compile(r"([0-9]{1,9})\.([0-9]{1,16})")
_encode = msgspec.json.Encoder().encode
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class LogQuery(msgspec.Struct, forbid_unknown_fields=True):
    """`follow` for server-sent events; `after` an id (attempt.seq) to go on behind."""

    follow: bool = False
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 10_000


async def logs(call: Call) -> Answer:
    """What a task printed, every attempt in order; of a verified one, what the copy printed that won."""
    task = await find(call)
    await require_open(call.desk.world.store, task)
    attempt, seq = _position(call.query.after or call.headers.get("last-event-id"))
    if call.query.follow:
        stream = _follow(call.desk, task.id, attempt, seq)
        return Answer(stream=stream, content_type=f"{EVENTS}; charset=utf-8", endless=True)
    lines: list[LogLine] = []
    while len(lines) < call.query.limit:
        wanted = min(PAGE, call.query.limit - len(lines))
        chunks = await call.desk.world.store.read(_printer_of(task), attempt=attempt, seq=seq, limit=wanted)
        lines += [_line(chunk) for chunk in chunks]
        if len(chunks) < wanted:
            break
        attempt, seq = chunks[-1].attempt, chunks[-1].seq
    return Answer(lines)


async def _follow(desk: Desk, task_id: int, attempt: int, seq: int) -> AsyncIterator[bytes]:
    world = desk.world
    shown = ""
    with world.bus.watch_task(task_id) as watch:
        while True:
            [task] = await world.store.get([task_id])
            if task is None:
                return
            state = views.shown_state(task, world.fleet)
            if state != shown:
                shown = state
                yield _event("state", {"state": state, "attempt": task.attempt})
            while chunks := await world.store.read(_printer_of(task), attempt=attempt, seq=seq, limit=PAGE):
                for chunk in chunks:
                    line = _line(chunk)
                    yield f"id: {line.id}\n".encode() + _event("output", line)
                attempt, seq = chunks[-1].attempt, chunks[-1].seq
            if task.state in TERMINAL:
                yield _event("end", views.result(task))
                return
            if not await watch.changed(KEEP_ALIVE_SECONDS):
                yield b": still here\n\n"


def _printer_of(task: Task) -> int:
    """The task whose output is shown as this one's."""
    parts = task.parts
    if isinstance(parts, Round) and parts.verdict is not None and parts.verdict.winner >= 0:
        return parts.first + parts.verdict.winner * STEP
    return task.id


def _event(name: str, value: object) -> bytes:
    # A result is passed on as its task wrote it. Line breaks between its values would end the event.
    return f"event: {name}\ndata: ".encode() + _encode(value).translate(_ONE_LINE) + b"\n\n"


def _line(chunk: LogChunk) -> LogLine:
    told = read_progress(chunk.text) if chunk.stream == "progress" else None
    return LogLine(
        id=f"{chunk.attempt}.{chunk.seq}",
        attempt=chunk.attempt,
        stream=chunk.stream,
        at=time_of(chunk.at),
        text=chunk.text,
        fraction=told.fraction if told is not None else None,
    )


def _position(text: str | None) -> tuple[int, int]:
    if text is None:
        return 0, 0
    place = _POSITION.fullmatch(text)
    if place is None:
        raise InvalidRequest(
            f"{text[:40]!r} is no position in a log.",
            hint="Use the id of the last event, such as 1.42.",
            code="invalid_position",
        )
    return int(place[1]), int(place[2])


ROUTES = [
    Route(
        method="GET",
        path="/api/tasks/{id}/logs",
        handler=logs,
        summary="What a task printed; follow=1 streams it (Last-Event-ID resumes)",
        roles=(Role.VIEWER,),
        query=LogQuery,
        response=list[LogLine],
        stream_type=EVENTS,
    )
]
