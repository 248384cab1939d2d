"""Reading beside the writer: a few read-only connections on threads of their own."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from anchor.adapters.sqlite.trouble import explained
from anchor.core.errors import Unavailable

R = TypeVar("R")
READERS = 2


class Reads:
    """Runs queries without ever blocking the event loop. Each sees everything committed before it began."""

    def __init__(self, connections: list[sqlite3.Connection], directory: Path) -> None:
        self._directory = directory
        self._closed = False
        self._connections = connections
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for connection in connections:
            self._idle.put(connection)
        self._threads = ThreadPoolExecutor(len(connections), thread_name_prefix="anchor-reader")

    async def run(self, query: Callable[[sqlite3.Connection], R]) -> R:
        """What `query` returns, run in one read transaction: its statements see the same moment. Unavailable once
        `close` was called."""
        if self._closed:
            raise Unavailable("The store is closed.", hint="The server is stopping; try again once it is back.")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._one, query)

    def close(self) -> None:
        """Let running queries end, then close the connections."""
        self._closed = True
        self._threads.shutdown()
        for connection in self._connections:
            connection.close()

    def _one(self, query: Callable[[sqlite3.Connection], R]) -> R:
        db = self._idle.get()
        try:
            db.execute("BEGIN")
            return query(db)
        except (sqlite3.Error, OSError) as error:
            raise explained(error, self._directory) from error
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._idle.put(db)
