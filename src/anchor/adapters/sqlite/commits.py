"""Group commit: everything that waits is written by one thread in one transaction, and answered together."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from anchor.adapters.sqlite.directory import DataDirectory
from anchor.adapters.sqlite.trouble import explained, is_about_the_place, is_out_of_space
from anchor.core.errors import Unavailable
from anchor.failpoints import reached

Q = TypeVar("Q")
R = TypeVar("R")
Q_contra = TypeVar("Q_contra", contravariant=True)


class Work(Protocol[Q_contra, R]):
    """A kind of write. Its statements must give the same outcome when they are run again after a rollback."""

    def together(self, db: sqlite3.Connection, requests: Sequence[Q_contra]) -> list[R]:
        """Carry out all requests in as few statements as possible, or raise: then they are run one by one."""

    def alone(self, db: sqlite3.Connection, request: Q_contra) -> R:
        """Carry out one request."""

    def written(self, requests: Sequence[Q_contra], answers: Sequence[R | Exception]) -> None:
        """Called on the event loop after the COMMIT, before anybody is answered."""


class Apart(Exception):
    """Not all requests can be carried out together as hoped: run them one by one."""


class Each(Generic[Q, R]):
    """A kind of write with nothing to gain from doing several at once."""

    def __init__(self, one: Callable[[sqlite3.Connection, Q], R]) -> None:
        self.alone = one

    def together(self, db: sqlite3.Connection, requests: Sequence[Q]) -> list[R]:
        """One after the other."""
        return [self.alone(db, request) for request in requests]

    def written(self, requests: Sequence[Q], answers: Sequence[R | Exception]) -> None:
        """Nothing to remember."""


class _Batch:
    """The requests of one commit by their kind, with the futures of those who wait for them."""

    def __init__(self) -> None:
        self.requests: dict[Any, tuple[list[Any], list[asyncio.Future[Any]]]] = {}

    def add(self, work: Any, request: Any, future: "asyncio.Future[Any]") -> None:
        entry = self.requests.get(work)
        if entry is None:
            entry = self.requests[work] = ([], [])
        entry[0].append(request)
        entry[1].append(future)


class GroupCommit:
    """The one writer of a database. Use it from the event loop it was made on."""

    def __init__(self, db: sqlite3.Connection, directory: DataDirectory) -> None:
        self._db = db
        self._directory = directory
        self._loop = asyncio.get_running_loop()
        self._waiting = _Batch()
        self._busy = False
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._handed: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="anchor-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[Q, R], request: Q) -> "asyncio.Future[R]":
        """Ask for a write. The answer comes after its COMMIT; cancelling the future does not take the write back.

        Unavailable once `close` was called.
        """
        if self._closed:
            raise Unavailable("The store is closed.", hint="The server is stopping; try again once it is back.")
        future: asyncio.Future[R] = self._loop.create_future()
        self._waiting.add(work, request, future)
        if not self._busy:
            self._busy = True
            self._idle.clear()
            # Everybody who is ready in this turn of the loop gets on board.
            self._loop.call_soon(self._hand_over)
        return future

    async def close(self) -> None:
        """Write what waits, then end the thread. The connection stays open."""
        self._closed = True
        await self._idle.wait()
        self._handed.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self) -> None:
        batch, self._waiting = self._waiting, _Batch()
        self._handed.put(batch)

    def _finished(self, batch: _Batch, answers: list[list[Any]] | BaseException) -> None:
        if isinstance(answers, BaseException):
            for _, futures in batch.requests.values():
                for future in futures:
                    if not future.done():
                        future.set_exception(explained(answers, self._directory.path))
        else:
            for (work, (requests, futures)), given in zip(batch.requests.items(), answers, strict=True):
                work.written(requests, given)
                for future, answer in zip(futures, given, strict=True):
                    if future.done():
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        if self._waiting.requests:
            # Those just answered run first and may join the next commit.
            self._loop.call_soon(self._hand_over)
        else:
            self._busy = False
            self._idle.set()

    def _run(self) -> None:
        while (batch := self._handed.get()) is not None:
            answers: list[list[Any]] | BaseException
            try:
                answers = self._commit(batch)
            except Exception as error:  # whatever it is, those who wait must hear of it
                answers = error
            self._loop.call_soon_threadsafe(self._finished, batch, answers)

    def _commit(self, batch: _Batch) -> list[list[Any]]:
        try:
            return self._in_transaction(batch, self._together)
        except Exception as error:
            if not is_about_the_place(error):
                return self._in_transaction(batch, self._apart)
            if is_out_of_space(error) and self._directory.ballast_is_set:
                self._directory.drop_ballast()
            raise

    def _in_transaction(self, batch: _Batch, way: Callable[[Work[Any, Any], list[Any]], list[Any]]) -> list[list[Any]]:
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            reached("sqlite.begun")
            answers = [way(work, requests) for work, (requests, _) in batch.requests.items()]
            reached("sqlite.written")
            db.execute("COMMIT")
            reached("sqlite.committed")
        except BaseException:
            # A full disk may have rolled back already.
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return answers

    def _together(self, work: Work[Any, Any], requests: list[Any]) -> list[Any]:
        return work.together(self._db, requests)

    def _apart(self, work: Work[Any, Any], requests: list[Any]) -> list[Any]:
        answers: list[Any] = []
        for request in requests:
            self._db.execute("SAVEPOINT request")
            try:
                answer = work.alone(self._db, request)
            except Exception as error:
                if is_about_the_place(error):
                    raise
                self._db.execute("ROLLBACK TO request")
                answer = error
            self._db.execute("RELEASE request")
            reached("sqlite.request_apart")
            answers.append(answer)
        return answers
