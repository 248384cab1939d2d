"""The embedded store: opens the data directory and puts the parts together."""

import asyncio
import sqlite3
from pathlib import Path

from anchor.adapters.sqlite.apps import Apps
from anchor.adapters.sqlite.audit import Audit
from anchor.adapters.sqlite.cases import Cases
from anchor.adapters.sqlite.claims import Claims
from anchor.adapters.sqlite.commits import GroupCommit
from anchor.adapters.sqlite.directory import DataDirectory
from anchor.adapters.sqlite.duties import Duties
from anchor.adapters.sqlite.epoch import Epoch
from anchor.adapters.sqlite.exchange import refuse_half_restored
from anchor.adapters.sqlite.keys import Keys
from anchor.adapters.sqlite.logs import Logs
from anchor.adapters.sqlite.nodes import Nodes
from anchor.adapters.sqlite.reads import READERS, Reads
from anchor.adapters.sqlite.retention import Retention
from anchor.adapters.sqlite.rows import STATES
from anchor.adapters.sqlite.runs import Runs
from anchor.adapters.sqlite.schema import migrate
from anchor.adapters.sqlite.tasks import Tasks
from anchor.adapters.sqlite.trouble import explained
from anchor.adapters.sqlite.usage import Usages
from anchor.core.errors import AnchorError

FILE = "anchor.db"


class SqliteStore(Tasks, Runs, Cases, Apps, Nodes, Logs, Claims, Keys, Duties, Audit, Usages, Epoch, Retention):
    """All that is durable, in one SQLite file that one process owns. Use it from the event loop it was opened on."""

    def __init__(
        self, directory: DataDirectory, db: sqlite3.Connection, readers: list[sqlite3.Connection], last_key: int
    ) -> None:
        super().__init__(GroupCommit(db, directory), Reads(readers, directory.path), directory)
        self._db = db
        self.last_key = last_key
        """The highest key ever stored: the key sequence and the clock go on from it."""

    @classmethod
    async def open(cls, path: Path) -> "SqliteStore":
        """Take a data directory, making it where there is none, and bring its tables up to date.

        Conflict where another process holds it or a newer Anchor wrote it; Unavailable or OutOfSpace where it cannot
        be used.
        """
        return cls(*await asyncio.to_thread(_open, path))

    async def last_wake_ms(self) -> int:
        """The latest `wake_at` (Unix ms) of any task; 0 where none has one."""
        return await self._reads.run(_last_wake)

    async def close(self) -> None:
        """Finish what was asked, then let go of the data."""
        await self._commits.close()
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        self._reads.close()
        self._db.close()
        self._directory.close()


def _open(path: Path) -> tuple[DataDirectory, sqlite3.Connection, list[sqlite3.Connection], int]:
    directory = DataDirectory(path)
    opened: list[sqlite3.Connection] = []
    try:
        refuse_half_restored(path)
        db = _connect(path / FILE)
        opened.append(db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("PRAGMA cache_size = -16000")
        migrate(db)
        (last_key,) = db.execute(
            "SELECT max(coalesce((SELECT max(id) FROM tasks), 0), coalesce((SELECT max(last) FROM claims), 0),"
            " coalesce((SELECT max(id) FROM apps), 0),"
            " coalesce((SELECT value FROM marks WHERE name = 'last_key'), 0))"
        ).fetchone()
        for _ in range(READERS):
            reader = _connect(path / FILE)
            opened.append(reader)
            reader.execute("PRAGMA query_only = ON")
    except (sqlite3.Error, OSError, AnchorError) as error:
        for connection in opened:
            connection.close()
        directory.close()
        raise explained(error, path) from error
    return directory, db, opened[1:], last_key


def _last_wake(db: sqlite3.Connection) -> int:
    # Asked state by state, each is one step down the index.
    last = "SELECT max(wake_at) FROM tasks WHERE state < 5 AND state = ?"
    return max((db.execute(last, (code,)).fetchone()[0] or 0 for code in STATES if code < 5), default=0)


def _connect(file: Path) -> sqlite3.Connection:
    # Transactions are begun and ended by hand; the connection is only ever used by one thread at a time.
    return sqlite3.connect(file, isolation_level=None, check_same_thread=False, cached_statements=256)
