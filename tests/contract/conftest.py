"""Every adapter the contract is run on, and small makers of what is stored."""

import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace
from pymongo import AsyncMongoClient
from tests.engines.mongo import Engine, running_mongo
from tests.engines.valkey import Engine as ValkeyEngine
from tests.engines.valkey import running_valkey

from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.gridfs.blobs import GridFsBlobs
from anchor.adapters.local.buckets import LocalBuckets
from anchor.adapters.local.bus import LocalBus
from anchor.adapters.local.ready import LocalReady
from anchor.adapters.mongo import MongoStore
from anchor.adapters.redis import RedisHints
from anchor.adapters.sqlite import SqliteStore
from anchor.core.attempt import Ending, Outcome, Result
from anchor.core.ids import KeySequence
from anchor.core.items import Items
from anchor.core.spec import TaskSpec
from anchor.core.task import State, Task, cancel, lease, queued, settle, wake
from anchor.core.verification import Round, Verdict, Vote
from anchor.ports.blobs import Blobs
from anchor.ports.buckets import Buckets
from anchor.ports.bus import Bus
from anchor.ports.ready import Ready
from anchor.ports.store import Store, Swap

NOW = 1_790_000_000_000

Opener = Callable[[Path], Awaitable[Store]]
Engines = pytest.FixtureRequest
"""Asked for the engine an adapter needs: `engines.getfixturevalue("mongo_engine")`."""


@pytest.fixture(scope="session")
def mongo_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One for all tests, each with a database of its own."""
    with running_mongo(tmp_path_factory.mktemp("mongo")) as engine:
        yield engine


@pytest.fixture(scope="session")
def valkey_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyEngine]:
    """One for all tests, each with a namespace of its own."""
    with running_valkey(tmp_path_factory.mktemp("valkey")) as engine:
        yield engine


def sqlite_stores(_: Engines) -> Opener:
    return SqliteStore.open


def mongo_stores(engines: Engines) -> Opener:
    engine = engines.getfixturevalue("mongo_engine")

    async def opened(path: Path) -> Store:
        return await MongoStore.open(engine.url_of(f"contract_{sha256(bytes(path)).hexdigest()[:20]}"))

    return opened


@asynccontextmanager
async def local_ready(_: Engines) -> AsyncIterator[Ready]:
    yield LocalReady()


@asynccontextmanager
async def local_bus(_: Engines) -> AsyncIterator[Bus]:
    yield LocalBus()


@asynccontextmanager
async def local_buckets(_: Engines) -> AsyncIterator[Buckets]:
    yield LocalBuckets()


@asynccontextmanager
async def redis_hints(engines: Engines) -> AsyncIterator[RedisHints]:
    """Patient, so that a busy machine is not taken for a Redis that is gone."""
    hints = await RedisHints.open(
        engines.getfixturevalue("valkey_engine").url,
        ready=LocalReady(),
        bus=LocalBus(),
        buckets=LocalBuckets(),
        namespace=secrets.token_hex(8),
        patience_seconds=10,
    )
    try:
        yield hints
        assert hints.problem is None, "what was tested was not Redis"
    finally:
        await hints.close()


@asynccontextmanager
async def redis_ready(engines: Engines) -> AsyncIterator[Ready]:
    async with redis_hints(engines) as hints:
        yield hints.ready


@asynccontextmanager
async def redis_bus(engines: Engines) -> AsyncIterator[Bus]:
    async with redis_hints(engines) as hints:
        yield hints.bus


@asynccontextmanager
async def redis_buckets(engines: Engines) -> AsyncIterator[Buckets]:
    async with redis_hints(engines) as hints:
        yield hints.buckets


@asynccontextmanager
async def file_blobs(engines: Engines) -> AsyncIterator[Blobs]:
    yield FileBlobs(engines.getfixturevalue("tmp_path") / "blobs")


@asynccontextmanager
async def gridfs_blobs(engines: Engines) -> AsyncIterator[Blobs]:
    url = engines.getfixturevalue("mongo_engine").url_of(secrets.token_hex(8))
    async with AsyncMongoClient(url, w="majority", journal=True) as client:
        yield GridFsBlobs(client.get_default_database())


STORES: dict[str, Callable[[Engines], Opener]] = {"sqlite": sqlite_stores, "mongo": mongo_stores}
READY: dict[str, Callable[[Engines], AbstractAsyncContextManager[Ready]]] = {"local": local_ready, "redis": redis_ready}
BUSES: dict[str, Callable[[Engines], AbstractAsyncContextManager[Bus]]] = {"local": local_bus, "redis": redis_bus}
BUCKETS: dict[str, Callable[[Engines], AbstractAsyncContextManager[Buckets]]] = {
    "local": local_buckets,
    "redis": redis_buckets,
}
BLOBS: dict[str, Callable[[Engines], AbstractAsyncContextManager[Blobs]]] = {
    "files": file_blobs,
    "gridfs": gridfs_blobs,
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=sorted(STORES))
def open_store(request: pytest.FixtureRequest) -> Opener:
    return STORES[request.param](request)


@pytest.fixture
async def store(open_store: Opener, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(tmp_path / "data")
    yield opened
    await opened.close()


@pytest.fixture
async def reopened(open_store: Opener, tmp_path: Path) -> AsyncIterator[Callable[[Store], Awaitable[Store]]]:
    """Closes a store of this test and opens its data anew."""
    async with AsyncExitStack() as opened:

        async def reopen(store: Store) -> Store:
            await store.close()
            again = await open_store(tmp_path / "data")
            opened.push_async_callback(again.close)
            return again

        yield reopen


@pytest.fixture(params=sorted(READY))
def open_ready(request: pytest.FixtureRequest) -> Callable[[], AbstractAsyncContextManager[Ready]]:
    """Opens one empty queue after the other, for tests that need many."""
    return lambda: READY[request.param](request)


@pytest.fixture(params=sorted(READY))
async def ready(request: pytest.FixtureRequest) -> AsyncIterator[Ready]:
    async with READY[request.param](request) as opened:
        yield opened


@pytest.fixture(params=sorted(BUSES))
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    async with BUSES[request.param](request) as opened:
        yield opened


@pytest.fixture(params=sorted(BUCKETS))
async def buckets(request: pytest.FixtureRequest) -> AsyncIterator[Buckets]:
    async with BUCKETS[request.param](request) as opened:
        yield opened


@pytest.fixture(params=sorted(BLOBS))
async def blobs(request: pytest.FixtureRequest) -> AsyncIterator[Blobs]:
    async with BLOBS[request.param](request) as opened:
        yield opened


class Maker:
    """Makes tasks in any state of their life by the decisions that lead there; ids rise."""

    def __init__(self) -> None:
        self._keys = KeySequence(1)
        self._count = itertools.count(1)
        self.now = NOW

    def task(self, *, owner: str = "ann", spec: TaskSpec | None = None, now: int | None = None) -> Task:
        at = self.now if now is None else now
        [key] = self._keys.take(1, now_ms=at)
        spec = spec or TaskSpec(name=f"task {next(self._count)}", type="noop")
        return queued(key=key, owner=owner, spec=spec, shape="{}", now=at)

    def tasks(self, count: int, **how: object) -> list[Task]:
        return [self.task(**how) for _ in range(count)]  # type: ignore[arg-type]

    def leased(self, task: Task, *, node: str = "REX-A1B2C3", session: int = 1) -> Task:
        return lease(task, node=node, session=session, now=self.now, lease_ms=30_000)

    def ended(self, task: Task, outcome: Outcome = Outcome.SUCCEEDED, *, now: int | None = None) -> Task:
        result = Result(json=b'{"answer":42}', size=13) if outcome is Outcome.SUCCEEDED else None
        ending = Ending(task.id, task.attempt, outcome, result)
        return settle(task, ending, now=self.now if now is None else now, chance=0.5)

    def in_state(self, state: State, **how: object) -> Task:
        fresh = self.task(**how)  # type: ignore[arg-type]
        match state:
            case State.QUEUED:
                return fresh
            case State.LEASED:
                return self.leased(fresh)
            case State.BACKOFF:
                return self.ended(self.leased(fresh), Outcome.ERRORED)
            case State.CANCELLING:
                return cancel(self.leased(fresh), by="ann", now=self.now)
            case State.SUCCEEDED:
                return self.ended(self.leased(fresh))
            case State.FAILED:
                task = fresh
                while task.state is not State.FAILED:
                    task = self.ended(self.leased(task), Outcome.ERRORED)
                    if task.state is State.BACKOFF:
                        task = wake(task, now=self.now)
                return task
            case State.CANCELLED:
                return cancel(fresh, by="ann", now=self.now)
            case State.WAITING:
                return replace(fresh, state=state, parts=Items(self.task().id, 4, 3))
            case State.VERIFYING:
                return replace(fresh, state=state, parts=Round(self.task().id, 6, 3))
            case State.INCONCLUSIVE:
                verdict = Verdict(False, votes=(Vote(0, "REX-A1B2C3", "bob", "ab" * 32, False, 1, 2),))
                parts = Round(self.task().id, 6, 6, verdict)
                return replace(fresh, state=state, parts=parts, wake_at=None, finished_at=self.now)


@pytest.fixture
def make() -> Maker:
    return Maker()


@pytest.fixture
def swap_one() -> Callable[[Store, Task, Task], Awaitable[bool]]:
    async def swap(store: Store, old: Task, new: Task) -> bool:
        [done] = await store.swap([Swap(old, new)])
        return done

    return swap
