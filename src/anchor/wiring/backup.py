"""Backups of whatever store the settings name, and putting them back."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from anchor import __version__
from anchor.adapters.files.archive import ArchiveReader, ArchiveWriter
from anchor.adapters.files.blobs import FileBlobs
from anchor.adapters.local.clock import SystemClock
from anchor.adapters.sqlite.backup import SqliteSnapshot, newest_epoch
from anchor.adapters.sqlite.exchange import exchanged
from anchor.adapters.sqlite.store import SqliteStore
from anchor.config import Settings
from anchor.core.ids import born_ms
from anchor.orchestrator.backup import take
from anchor.orchestrator.restore import declare_restored, load
from anchor.ports.backup import Restorable, Snapshot
from anchor.ports.blobs import Blobs
from anchor.ports.clock import Clock
from anchor.wire.archive import Manifest

Told = Callable[[str, int], None]


@dataclass
class _Place:
    """A store opened to be restored: `newest_epoch` is the highest that is known there."""

    store: Restorable
    blobs: Blobs
    clock: Clock
    newest_epoch: int


async def back_up(settings: Settings, file: Path, *, force: bool, told: Told) -> Manifest:
    """Write everything that is kept into a file; servers may run meanwhile."""
    with ArchiveWriter(file, force=force) as archive:
        async with _snapshot(settings) as (snapshot, blobs, clock):
            manifest = await take(snapshot, blobs, archive, now=clock.now(), version=__version__, told=told)
        archive.finish(manifest)
    return manifest


async def restore(
    settings: Settings, file: Path, *, replace: bool, known_epoch: int, told: Told
) -> tuple[Manifest, int]:
    """Put a backup into an empty place, or (`replace`) in the place of what is there; its manifest and the new epoch,
    which is above all that is known of, `known_epoch` included. Nothing is touched before all of it was checked."""
    with ArchiveReader(file) as archive:
        manifest = archive.manifest
        async with _emptied(settings, replace=replace) as place:
            epoch = max(manifest.epoch, place.newest_epoch, known_epoch) + 1
            await load(archive, place.store, place.blobs, told=told)
            await declare_restored(place.store, place.clock, epoch=epoch, message=_message(manifest, epoch))
    return manifest, epoch


async def adopt_epoch(settings: Settings, known_epoch: int) -> int:
    """Declare the data that is in place a restored one: its new epoch, above all that is known of."""
    async with _in_place(settings) as place:
        epoch = max(await place.store.epoch(), place.newest_epoch, known_epoch) + 1
        message = f"The data in place was declared a restored copy; epoch {epoch} from now on."
        await declare_restored(place.store, place.clock, epoch=epoch, message=message)
        return epoch


@asynccontextmanager
async def _snapshot(settings: Settings) -> AsyncIterator[tuple[Snapshot, Blobs, Clock]]:
    async with AsyncExitStack() as stack:
        if settings.is_embedded:
            snapshot = stack.enter_context(SqliteSnapshot(settings.data))
            yield snapshot, FileBlobs(settings.data / "blobs", reading_only=True), SystemClock()
        else:
            # The driver takes a tenth of a second to load, which an embedded store never needs.
            from anchor.adapters.gridfs.blobs import GridFsBlobs  # noqa: PLC0415
            from anchor.adapters.mongo.backup import MongoSnapshot  # noqa: PLC0415
            from anchor.adapters.mongo.store import MongoStore  # noqa: PLC0415

            store = await MongoStore.open(settings.store)
            stack.push_async_callback(store.close)
            yield MongoSnapshot(store), GridFsBlobs(store.database), store.clock


@asynccontextmanager
async def _emptied(settings: Settings, *, replace: bool) -> AsyncIterator[_Place]:
    async with AsyncExitStack() as stack:
        if settings.is_embedded:
            newest = newest_epoch(settings.data)
            built = stack.enter_context(exchanged(settings.data, replace=replace))
            yield await _embedded(built, stack, newest)
        else:
            from anchor.adapters.gridfs.blobs import GridFsBlobs  # noqa: PLC0415
            from anchor.adapters.mongo.exchange import exchanged as exchanged_database  # noqa: PLC0415

            store = await stack.enter_async_context(exchanged_database(settings.store, replace=replace))
            yield _Place(store, GridFsBlobs(store.database), store.clock, await store.epoch())


@asynccontextmanager
async def _in_place(settings: Settings) -> AsyncIterator[_Place]:
    async with AsyncExitStack() as stack:
        if settings.is_embedded:
            yield await _embedded(settings.data, stack, newest_epoch(settings.data))
        else:
            from anchor.adapters.gridfs.blobs import GridFsBlobs  # noqa: PLC0415
            from anchor.adapters.mongo.exchange import refuse_served  # noqa: PLC0415
            from anchor.adapters.mongo.store import MongoStore  # noqa: PLC0415

            store = await MongoStore.open(settings.store)
            stack.push_async_callback(store.close)
            await refuse_served(store.database)
            yield _Place(store, GridFsBlobs(store.database), store.clock, 0)


async def _embedded(path: Path, stack: AsyncExitStack, newest: int) -> _Place:
    store = await SqliteStore.open(path)
    stack.push_async_callback(store.close)
    return _Place(store, FileBlobs(path / "blobs"), SystemClock(not_before_ms=born_ms(store.last_key)), newest)


def _message(manifest: Manifest, epoch: int) -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(manifest.at / 1000))
    return f"Restored from a backup of {when} (epoch {manifest.epoch}); epoch {epoch} from now on."
