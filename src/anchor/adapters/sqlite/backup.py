"""Reading a data directory for a backup, from any process, while its server goes on writing.

One read transaction shows one moment of all tables, for as long as the reading takes; the writer is never blocked by
it, and the write-ahead log grows by what is written meanwhile.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from anchor.adapters.sqlite.epoch import epoch_in
from anchor.adapters.sqlite.exchange import ASIDE, refuse_half_restored
from anchor.adapters.sqlite.rows import COLUMNS, task_from
from anchor.adapters.sqlite.runs import WHOLE, run_from
from anchor.adapters.sqlite.schema import version_of
from anchor.adapters.sqlite.trouble import explained
from anchor.core.access import Key
from anchor.core.app import App
from anchor.core.audit import Entry
from anchor.core.case import Case
from anchor.core.dag import Run
from anchor.core.errors import NotFound
from anchor.core.node import Node
from anchor.core.task import Task
from anchor.core.usage import Use
from anchor.ports.store import Claim, LogChunk

T = TypeVar("T")
BATCH = 1000
_TASK_WIDTH = COLUMNS.count(",") + 1
_node_from = msgspec.json.Decoder(Node).decode
_key_from = msgspec.json.Decoder(Key).decode
_app_from = msgspec.json.Decoder(App).decode
_case_from = msgspec.json.Decoder(Case).decode
_entry_from = msgspec.json.Decoder(Entry).decode


class SqliteSnapshot:
    """One moment of a data directory; NotFound where there is none. See `ports.backup.Snapshot`."""

    engine = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path
        file = path / "anchor.db"
        refuse_half_restored(path)
        if not file.exists():
            raise NotFound(f"There is no data in {path}.", hint="Name the server's data directory with --data DIR.")
        try:
            self._db = _connect(file)
            self.schema = version_of(self._db)
            self._db.execute("BEGIN")
            # A transaction begins with its first read.
            names = self._db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        except sqlite3.Error as error:
            raise explained(error, path) from error
        self._tables = {name for (name,) in names}

    def __enter__(self) -> "SqliteSnapshot":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()

    async def epoch(self) -> int:
        """The store's epoch."""
        return await asyncio.to_thread(epoch_in, self._db)

    async def tasks(self) -> AsyncIterator[list[tuple[Task, bytes]]]:
        """Tasks by rising id, each with its payload as JSON bytes."""
        there = {name for _, name, *_ in self._db.execute("PRAGMA table_info(tasks)")}
        # A file of an older schema may lack columns.
        columns = ", ".join(name if name in there else "NULL" for name in COLUMNS.split(", "))
        query = f"SELECT {columns}, json FROM tasks LEFT JOIN payloads ON task = id ORDER BY id"
        async for batch in self._batches(query, lambda row: (task_from(row[:_TASK_WIDTH]), row[_TASK_WIDTH] or b"")):
            yield batch

    async def logs(self) -> AsyncIterator[list[LogChunk]]:
        """What tasks printed."""
        query = "SELECT task, attempt, seq, at, stream, text FROM logs ORDER BY task, attempt, seq"
        async for batch in self._batches(query, lambda row: LogChunk(*row)):
            yield batch

    async def runs(self) -> AsyncIterator[list[Run]]:
        """Runs of graphs by rising id."""
        if "runs" in self._tables:
            async for batch in self._batches(f"{WHOLE} ORDER BY id", run_from):
                yield batch

    async def cases(self) -> AsyncIterator[list[Case]]:
        """Cases by rising id."""
        async for batch in self._documents("cases", _case_from, "id"):
            yield batch

    async def apps(self) -> AsyncIterator[list[App]]:
        """Apps by rising id."""
        async for batch in self._documents("apps", _app_from, "id"):
            yield batch

    async def unfulfilled(self) -> list[Claim]:
        """Claims not carried out yet."""
        return [claim async for batch in self._claims("WHERE done = 0") for claim in batch]

    async def claims(self) -> AsyncIterator[list[Claim]]:
        """All claims."""
        async for batch in self._claims(""):
            yield batch

    async def nodes(self) -> list[Node]:
        """All nodes."""
        return [node async for batch in self._documents("nodes", _node_from, "id") for node in batch]

    async def keys(self) -> list[Key]:
        """All keys."""
        return [key async for batch in self._documents("keys", _key_from, "digest") for key in batch]

    async def usage(self) -> AsyncIterator[list[Use]]:
        """What was used."""
        if "usage" in self._tables:
            query = "SELECT day, owner, node, app, tasks, failed, attempts, cpu_ms, wall_ms FROM usage"
            async for batch in self._batches(query, lambda row: Use(*row)):
                yield batch

    async def audit(self) -> AsyncIterator[list[Entry]]:
        """The audit chain by rising number."""
        async for batch in self._documents("audit", _entry_from, "number"):
            yield batch

    def _claims(self, where: str) -> AsyncIterator[list[Claim]]:
        query = f"SELECT owner, key, digest, first, count, done, at FROM claims {where}"
        return self._batches(query, lambda row: Claim(row[0], row[1], row[2], row[3], row[4], bool(row[5]), row[6]))

    async def _documents(self, table: str, decode: Callable[[bytes], T], order: str) -> AsyncIterator[list[T]]:
        # A file of an older schema may lack the table.
        if table in self._tables:
            async for batch in self._batches(f"SELECT json FROM {table} ORDER BY {order}", lambda row: decode(row[0])):
                yield batch

    async def _batches(self, query: str, made_of: Callable[[Any], T]) -> AsyncIterator[list[T]]:
        def read() -> list[T]:
            try:
                return [made_of(row) for row in cursor.fetchmany(BATCH)]
            except (sqlite3.Error, msgspec.MsgspecError) as error:
                raise explained(error, self._path) from error

        cursor = await asyncio.to_thread(self._db.execute, query)
        while batch := await asyncio.to_thread(read):
            yield batch


def newest_epoch(path: Path) -> int:
    """The highest epoch of the stores in a data directory: the one in use and those moved aside, as far as they can
    still be read."""
    newest = 0
    for folder in (path, *path.glob(f"{ASIDE}*")):
        file = folder / "anchor.db"
        if file.exists():
            with contextlib.suppress(sqlite3.Error), contextlib.closing(_connect(file)) as db:
                newest = max(newest, epoch_in(db))
    return newest


def _connect(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False, timeout=30
    )
    db.execute("PRAGMA query_only = ON")
    return db
