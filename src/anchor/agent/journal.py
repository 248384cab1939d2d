"""The agent's durable memory: what it accepted, how it ended, until the server says that it is recorded."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from anchor.core.attempt import Ending
from anchor.core.errors import Conflict, Unavailable
from anchor.failpoints import reached
from anchor.wire.link import Chunk, Held

FORGET_SECONDS = 1.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts (
    task INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    ending BLOB,
    output BLOB,
    PRIMARY KEY (task, attempt)
) WITHOUT ROWID
"""
_EPOCHS = "CREATE TABLE IF NOT EXISTS epochs (node TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID"
"""By node, since a machine that joins another network gets another node id there."""


class Unreported(msgspec.Struct, frozen=True):
    """An attempt whose ending the server has not confirmed; `ending` is None while it was still running."""

    held: Held
    ending: Ending | None
    output: list[Chunk]


_Write = Callable[[sqlite3.Connection], object]
_encode = msgspec.msgpack.Encoder().encode
_ending = msgspec.msgpack.Decoder(Ending).decode
_chunks = msgspec.msgpack.Decoder(list[Chunk]).decode


class Journal:
    """An SQLite file written with full durability. Writes that wait while one is under way share the next commit."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._waiting: list[tuple[_Write, asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None
        self._forgotten: list[tuple[int, int]] = []
        self._sweep: asyncio.TimerHandle | None = None
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._database.execute(_SCHEMA)
            self._database.execute(_EPOCHS)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise Conflict(
                    f"Another agent uses {path.parent}.", hint="Stop it, or give this one its own --data directory."
                ) from None
            raise Unavailable(
                f"The agent cannot keep its journal in {path.parent}: {error}.",
                hint="Make the directory writable, free some space, or choose another one with --data.",
            ) from None

    def unreported(self) -> list[Unreported]:
        """Everything the journal holds; read once at start."""
        rows = self._database.execute("SELECT task, attempt, ending, output FROM attempts ORDER BY task, attempt")
        return [
            Unreported(
                Held(task, attempt),
                None if ending is None else _ending(ending),
                [] if output is None else _chunks(output),
            )
            for task, attempt, ending, output in rows
        ]

    def epoch(self, node: str) -> int | None:
        """The store's epoch that was kept last for this node; read once at start."""
        found = self._database.execute("SELECT epoch FROM epochs WHERE node = ?", (node,)).fetchone()
        return None if found is None else int(found[0])

    async def keep_epoch(self, node: str, epoch: int) -> None:
        """Write down the store's epoch as this node was told it."""
        await self._write(lambda db: db.execute("INSERT OR REPLACE INTO epochs VALUES (?, ?)", (node, epoch)))

    async def accept(self, items: Sequence[Held]) -> None:
        """Write down attempts before they run."""
        rows = [(item.task, item.attempt) for item in items]
        await self._write(
            lambda db: db.executemany("INSERT OR IGNORE INTO attempts (task, attempt) VALUES (?, ?)", rows)
        )

    async def end(self, endings: Sequence[Ending], output: Sequence[Sequence[Chunk]]) -> None:
        """Write down how attempts ended, with what they printed, before it is sent."""
        rows = [
            (ending.task, ending.attempt, _encode(ending), _encode(chunks) if chunks else None)
            for ending, chunks in zip(endings, output, strict=True)
        ]
        await self._write(lambda db: db.executemany("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?)", rows))

    async def probe(self) -> None:
        """Write something, to see whether it can be done; Unavailable where it cannot."""
        await self._write(_probe)

    def forget(self, items: Sequence[Held]) -> None:
        """Drop attempts that the server has recorded, or fenced off, with the next commit or within a second.

        Nobody waits for this: an entry that survives a crash is reported once more, and recorded already.
        """
        self._forgotten.extend((item.task, item.attempt) for item in items)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(FORGET_SECONDS, self._start)

    def close(self) -> None:
        """Finish the writes under way and let go of the file."""
        self._thread.shutdown(wait=True)
        self._database.close()

    async def _write(self, write: _Write) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((write, future))
        self._start()
        await future

    def _start(self) -> None:
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())

    async def _commit(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting or self._forgotten:
            batch, self._waiting = self._waiting, []
            forgotten, self._forgotten = self._forgotten, []
            if self._sweep is not None:
                self._sweep.cancel()
                self._sweep = None
            try:
                await loop.run_in_executor(self._thread, self._run, [write for write, _ in batch], forgotten)
            except sqlite3.Error as error:
                self._forgotten[:0] = forgotten
                if not self._waiting:
                    self._sweep = loop.call_later(FORGET_SECONDS, self._start)
                for _, future in batch:
                    if not future.done():
                        future.set_exception(Unavailable(f"The agent's journal cannot be written: {error}."))
                if not self._waiting:
                    break
            else:
                for _, future in batch:
                    if not future.done():
                        future.set_result(None)
        self._committing = None

    def _run(self, writes: Sequence[_Write], forgotten: Sequence[tuple[int, int]]) -> None:
        self._database.execute("BEGIN")
        reached("journal.begun")
        try:
            self._database.executemany("DELETE FROM attempts WHERE task = ? AND attempt = ?", forgotten)
            for write in writes:
                write(self._database)
            reached("journal.written")
            self._database.execute("COMMIT")
            reached("journal.committed")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise


def _probe(db: sqlite3.Connection) -> None:
    db.execute("INSERT OR IGNORE INTO attempts (task, attempt) VALUES (-1, -1)")
    db.execute("DELETE FROM attempts WHERE task = -1")
