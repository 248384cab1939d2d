"""What tasks printed, in the order it was printed."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from anchor.adapters.sqlite.commits import Each
from anchor.adapters.sqlite.part import Part
from anchor.adapters.sqlite.rows import chunks, insert_statement
from anchor.ports.store import LogChunk

_COLUMNS = "task, attempt, seq, at, stream, text"
_WIDTH = 6


class _Appends:
    """Writes the chunks of all callers in few statements."""

    def together(self, db: sqlite3.Connection, requests: Sequence[Sequence[LogChunk]]) -> list[None]:
        """All chunks; those that are there already are left as they are."""
        values: list[Any] = []
        for request in requests:
            for chunk in request:
                values += (chunk.task, chunk.attempt, chunk.seq, chunk.at, chunk.stream, chunk.text)
        for first, rows in chunks(len(values) // _WIDTH):
            statement = insert_statement("logs", _COLUMNS, _WIDTH, rows, ignore=True)
            db.execute(statement, values[first * _WIDTH : (first + rows) * _WIDTH])
        return [None] * len(requests)

    def alone(self, db: sqlite3.Connection, request: Sequence[LogChunk]) -> None:
        """One caller's chunks."""
        self.together(db, [request])

    def written(self, requests: Sequence[Sequence[LogChunk]], answers: Sequence[Exception | None]) -> None:
        """Nothing to remember."""


def _trim(db: sqlite3.Connection, what: tuple[int, int, int | None]) -> None:
    db.execute("DELETE FROM logs WHERE task = ? AND attempt = ? AND seq < coalesce(?, 9e18)", what)


_APPENDS = _Appends()
_TRIM = Each(_trim)


class Logs(Part):
    """The log part of the store."""

    async def append(self, chunks: Sequence[LogChunk]) -> None:
        """Keep chunks; one that is there already is left as it is."""
        if chunks:
            await self._commits.submit(_APPENDS, chunks)

    async def read(self, task: int, *, attempt: int, seq: int, limit: int) -> list[LogChunk]:
        """Chunks after (attempt, seq), in order."""
        rows = await self._reads.run(
            lambda db: db.execute(
                f"SELECT {_COLUMNS} FROM logs WHERE task = ? AND (attempt, seq) > (?, ?) ORDER BY attempt, seq LIMIT ?",
                (task, attempt, seq, limit),
            ).fetchall()
        )
        return [LogChunk(*row) for row in rows]

    async def trim_log(self, task: int, attempt: int, below: int | None) -> None:
        """Forget the chunks of one attempt whose `seq` is below `below` (None: all of them)."""
        await self._commits.submit(_TRIM, (task, attempt, below))
