"""The audit trail: who did what, newest first, as a page of a list or all of it as a file."""

import csv
import datetime
import io
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from anchor.core.access import Role
from anchor.core.audit import Entry
from anchor.ports.store import AuditStore
from anchor.server.http import Answer, Call, Route
from anchor.server.paging import next_link, read_cursor
from anchor.wire.rest import AuditEntry, time_of

CURSOR = "a"
PAGE = 1000
LOOKED_AT_MAX = 20_000
"""Entries that one request for a list looks at, at most, however few of them fit."""
CLOCKS_APART_MS = 600_000
"""So much may the times of neighbours in the trail run backwards: several servers write it."""
CSV, JSONL = "text/csv; charset=utf-8", "application/x-ndjson"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_Text = Annotated[str, Meta(max_length=200)]
_encode = msgspec.json.Encoder().encode


class AuditQuery(msgspec.Struct, forbid_unknown_fields=True, rename={"form": "as"}):
    """Which entries: of one kind, by somebody, about one subject (each whole), from a time to a time, with a text
    anywhere in them; how many, and where to go on; or all of them as a file."""

    kind: _Text | None = None
    by: _Text | None = None
    subject: _Text | None = None
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    text: _Text | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: str | None = None
    form: Literal["csv", "jsonl"] | None = None


class _Wanted:
    """The entries that a query is about."""

    def __init__(self, query: AuditQuery) -> None:
        self._query = query
        self._text = (query.text or "").casefold()
        self._since = 0 if query.since is None else _ms(query.since)
        self._until = None if query.until is None else _ms(query.until)
        self.is_all = not (query.kind or query.by or query.subject or self._text or query.since or query.until)

    def fits(self, entry: Entry) -> bool:
        """Whether this one is wanted."""
        query = self._query
        return (
            (not query.kind or entry.kind == query.kind)
            and (not query.by or entry.by == query.by)
            and (not query.subject or entry.subject == query.subject)
            and entry.at >= self._since
            and (self._until is None or entry.at <= self._until)
            and self._text in "\n".join((entry.message, entry.subject, entry.by, entry.kind)).casefold()
        )

    def is_before(self, entry: Entry) -> bool:
        """Whether this one and all before it are too old."""
        return entry.at < self._since - CLOCKS_APART_MS


async def index(call: Call) -> Answer:
    """Entries by falling number."""
    query: AuditQuery = call.query
    store = call.desk.world.store
    wanted = _Wanted(query)
    below = read_cursor(CURSOR, query.cursor)
    if query.form is not None:
        return _file(store, wanted, below, query.form)
    found: list[Entry] = []
    looked_at = 0
    while len(found) < query.limit and looked_at < LOOKED_AT_MAX and below != 1:
        page = await store.audit_page(below, query.limit if wanted.is_all else PAGE)
        if not page or wanted.is_before(page[0]):
            below = 1
            break
        for entry in page:
            below = entry.number
            looked_at += 1
            if wanted.fits(entry):
                found.append(entry)
                if len(found) == query.limit:
                    break
    headers = {}
    if wanted.is_all:
        newest = await store.audit_tail()
        headers["x-total-count"] = str(0 if newest is None else newest.number)
    if below is not None and below > 1:
        kept = {
            "kind": query.kind,
            "by": query.by,
            "subject": query.subject,
            "since": query.since and query.since.isoformat(),
            "until": query.until and query.until.isoformat(),
            "text": query.text,
        }
        headers["link"] = next_link("/api/audit", CURSOR, below, limit=query.limit, **kept)
    return Answer([entry_view(entry) for entry in found], headers=headers)


def _file(store: AuditStore, wanted: _Wanted, below: int | None, form: str) -> Answer:
    headers = {"content-disposition": f'attachment; filename="anchor-events.{form}"'}
    written = _as_csv if form == "csv" else _as_lines
    stream = written(_all(store, wanted, below))
    return Answer(headers=headers, stream=stream, content_type=CSV if form == "csv" else JSONL)


async def _all(store: AuditStore, wanted: _Wanted, below: int | None) -> AsyncIterator[list[AuditEntry]]:
    """All that is wanted, a page at a time: no more than that is in memory."""
    while below != 1:
        page = await store.audit_page(below, PAGE)
        if not page or wanted.is_before(page[0]):
            return
        yield [entry_view(entry) for entry in page if wanted.fits(entry)]
        below = page[-1].number


async def _as_lines(pages: AsyncIterator[list[AuditEntry]]) -> AsyncIterator[bytes]:
    async for page in pages:
        if page:
            yield b"".join(_encode(entry) + b"\n" for entry in page)


async def _as_csv(pages: AsyncIterator[list[AuditEntry]]) -> AsyncIterator[bytes]:
    def rows(*rows: tuple[object, ...]) -> bytes:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        return text.getvalue().encode()

    yield rows(AuditEntry.__struct_fields__)
    async for page in pages:
        if page:
            yield rows(*(tuple(map(_cell, msgspec.structs.astuple(entry))) for entry in page))


def _cell(value: object) -> object:
    """A value as a cell; no text is taken for a formula by what opens the file."""
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _ms(moment: datetime.datetime) -> int:
    """Unix milliseconds; a time without a zone is taken for UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
    return int(aware.timestamp() * 1000)


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
        summary="The audit trail: who did what, newest first; with as=csv or as=jsonl, all of it as a file",
        roles=(Role.OPERATOR,),
        query=AuditQuery,
        response=list[AuditEntry],
        file_types=("text/csv", JSONL),
    ),
]
