"""The two sets of engines a server runs on."""

import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol

from tests.engines.mongo import Engine, running_mongo
from tests.engines.valkey import running_valkey

from anchor.adapters.mongo.store import MongoStore
from anchor.adapters.sqlite.store import SqliteStore
from anchor.ports.store import Store

SECRET = secrets.token_urlsafe(32)
REDIS_DATABASES = 16


class EngineSet(Protocol):
    """Where a server keeps things."""

    name: str

    def settings(self, data: Path) -> dict[str, object]:
        """Settings for a server on an empty store."""

    def store(self, data: Path) -> contextlib.AbstractAsyncContextManager[Store]:
        """The store of a server that does not run, read and written as the server would."""


class Embedded:
    """SQLite and files, in the data directory."""

    name = "embedded"

    def settings(self, data: Path) -> dict[str, object]:
        return {}

    @contextlib.asynccontextmanager
    async def store(self, data: Path) -> AsyncIterator[Store]:
        store = await SqliteStore.open(data)
        try:
            yield store
        finally:
            await store.close()


class Shared:
    """MongoDB and Redis; every server gets a database of its own in either."""

    name = "shared"

    def __init__(self, mongo: Engine, queue: str) -> None:
        self._mongo = mongo
        self._queue = queue
        self._numbers = itertools.count()
        self._urls: dict[Path, str] = {}

    def settings(self, data: Path) -> dict[str, object]:
        self._urls[data] = self.new_url()
        queue = f"{self._queue}/{len(self._urls) % REDIS_DATABASES}"
        return {"store": self._urls[data], "queue": queue, "secret": SECRET}

    def new_url(self) -> str:
        """Of an empty database."""
        return self._mongo.url_of(f"tour{next(self._numbers)}")

    @contextlib.asynccontextmanager
    async def store(self, data: Path) -> AsyncIterator[Store]:
        store = await MongoStore.open(self._urls[data])
        try:
            yield store
        finally:
            await store.close()


@contextlib.contextmanager
def shared(directory: Path) -> Iterator[Shared]:
    """Engines of our own, ended on the way out."""
    with running_mongo(directory / "mongo") as mongo, running_valkey(directory / "valkey") as valkey:
        yield Shared(mongo, valkey.url.rpartition("/")[0])
