"""The engines a server runs on, picked by its settings: everything on one machine, or MongoDB and Redis for many."""

import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.local.buckets import LocalBuckets
from anchor.adapters.local.bus import LocalBus
from anchor.adapters.local.clock import SystemClock
from anchor.adapters.local.ready import LocalReady
from anchor.adapters.sqlite.directory import DataDirectory
from anchor.adapters.sqlite.store import SqliteStore
from anchor.agent import identity
from anchor.config import LOCAL_QUEUE, Settings
from anchor.core.attempt import Reason
from anchor.core.errors import Conflict
from anchor.core.ids import KeySequence, born_ms
from anchor.core.retry import BACKOFF_CAP_SECONDS
from anchor.failpoints import reached
from anchor.orchestrator.duties import KEYS_MARGIN_MS, NUMBER_LEASE_MS, lay_down, number_of, others, take_number
from anchor.ports.blobs import Blobs
from anchor.ports.buckets import Buckets
from anchor.ports.bus import Bus
from anchor.ports.clock import Clock
from anchor.ports.ready import Ready
from anchor.ports.store import Duty, Store


@dataclass
class Engines:
    """A server's ports, opened. `number` is its duty among the servers of a shared store; `trouble` says what is wrong
    with the queue, if anything; `newest_ms` is the newest Unix ms in an embedded store."""

    store: Store
    ready: Ready
    bus: Bus
    buckets: Buckets
    blobs: Blobs
    clock: Clock
    keys: KeySequence
    server: str
    number: Duty | None = None
    newest_ms: int = 0
    trouble: Callable[[], Reason | None] = lambda: None


@asynccontextmanager
async def engines(settings: Settings) -> AsyncIterator[Engines]:
    """Open what the settings name, and close it again in the right order."""
    async with AsyncExitStack() as stack:
        if settings.is_embedded:
            yield await _embedded(settings, stack)
        else:
            yield await _shared(settings, stack)


async def _embedded(settings: Settings, stack: AsyncExitStack) -> Engines:
    store = await SqliteStore.open(settings.data)
    stack.push_async_callback(store.close)
    newest_ms = await _newest_ms(settings, store)
    return Engines(
        store=store,
        ready=LocalReady(),
        bus=LocalBus(),
        buckets=LocalBuckets(),
        blobs=FileBlobs(settings.data / "blobs"),
        clock=SystemClock(not_before_ms=newest_ms),
        keys=KeySequence(0, last_key=store.last_key),
        server="alone",
        newest_ms=newest_ms,
    )


async def _newest_ms(settings: Settings, store: SqliteStore) -> int:
    """A Unix millisecond that has been, by all that is written down: a key was made in it, a node was seen in it, or a
    task that sleeps until later cannot have gone to sleep before it. A clock that was set back goes on from here, or
    leases and pauses would last for as long as it was set back."""
    seen = [node.seen_at for node in await store.nodes()]
    longest_sleep_ms = int(max(settings.lease_seconds, BACKOFF_CAP_SECONDS) * 1000)
    return max(born_ms(store.last_key), await store.last_wake_ms() - longest_sleep_ms, *seen, 0)


async def _shared(settings: Settings, stack: AsyncExitStack) -> Engines:
    # The drivers take a tenth of a second and 30 MB to load, which an embedded server never needs.
    from anchor.adapters.gridfs.blobs import GridFsBlobs  # noqa: PLC0415
    from anchor.adapters.mongo.store import MongoStore  # noqa: PLC0415
    from anchor.adapters.redis.hints import RedisHints  # noqa: PLC0415

    stack.enter_context(DataDirectory(settings.data))
    store = await MongoStore.open(settings.store)
    stack.push_async_callback(store.close)
    name = _name_in(settings)
    number = await _number(settings, store, name, now=store.clock.now())

    async def give_number_back() -> None:
        await lay_down(store, number.name, holder=name, now=store.clock.now())

    stack.push_async_callback(give_number_back)
    keys = KeySequence(number_of(number), last_key=store.last_key, valid_until=number.until - KEYS_MARGIN_MS)
    blobs = GridFsBlobs(store.database)
    if settings.is_alone:
        return Engines(store, LocalReady(), LocalBus(), LocalBuckets(), blobs, store.clock, keys, name, number)
    hints = await RedisHints.open(settings.queue, ready=LocalReady(), bus=LocalBus(), buckets=LocalBuckets())
    stack.push_async_callback(hints.close)
    return Engines(
        store, hints.ready, hints.bus, hints.buckets, blobs, store.clock, keys, name, number,
        trouble=lambda: hints.problem,
    )  # fmt: skip


async def _number(settings: Settings, store: Store, name: str, *, now: int) -> Duty:
    """This server's number. Where one of the servers has no Redis, it has to be the only one."""
    queue = LOCAL_QUEUE if settings.is_alone else "redis"
    for other in await others(store, holder=name, now=now):
        if LOCAL_QUEUE in (queue, other.note):
            raise Conflict(
                f"{other.holder} serves this database, too, and without Redis on both they do not hear of each other.",
                hint="Give all servers the same ANCHOR_QUEUE (redis://…), or stop the other and wait half a minute.",
                code="queue_needed",
            )
    return await take_number(store, holder=name, now=now, lease_ms=NUMBER_LEASE_MS, note=queue)


def _name_in(settings: Settings) -> str:
    """This server's name among others: the machine's, and a part kept in the data directory that makes it its own."""
    path = settings.data / "server-id"
    if not path.exists():
        identity.write_privately(path, f"{socket.gethostname()}-{secrets.token_hex(4)}".encode())
        reached("engines.name_written")
    return path.read_text(encoding="utf-8")
