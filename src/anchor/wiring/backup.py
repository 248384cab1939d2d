"""Backups of whatever store the settings name, and putting them back."""

import contextlib
import time
from collections.abc import Callable
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
from anchor.wire.archive import Manifest

Told = Callable[[str, int], None]


async def back_up(settings: Settings, file: Path, *, force: bool, told: Told) -> Manifest:
    """Write everything that is kept into a file; servers may run meanwhile."""
    with ArchiveWriter(file, force=force) as archive, SqliteSnapshot(settings.data) as snapshot:
        blobs = FileBlobs(settings.data / "blobs", reading_only=True)
        now = time.time_ns() // 1_000_000
        manifest = await take(snapshot, blobs, archive, now=now, version=__version__, told=told)
        archive.finish(manifest)
    return manifest


async def restore(
    settings: Settings, file: Path, *, replace: bool, known_epoch: int, told: Told
) -> tuple[Manifest, int]:
    """Put a backup into an empty place, or (`replace`) in the place of what is there; its manifest and the new epoch,
    which is above all that is known of, `known_epoch` included."""
    with ArchiveReader(file) as archive:
        manifest = archive.manifest
        with exchanged(settings.data, replace=replace) as built:
            epoch = max(manifest.epoch, newest_epoch(settings.data), known_epoch) + 1
            store = await SqliteStore.open(built)
            try:
                await load(archive, store, FileBlobs(built / "blobs"), told=told)
                clock = SystemClock(not_before_ms=born_ms(store.last_key))
                await declare_restored(store, clock, epoch=epoch, message=_message(manifest, epoch))
            finally:
                await store.close()
    return manifest, epoch


async def adopt_epoch(settings: Settings, known_epoch: int) -> int:
    """Declare the data that is in place a restored one: its new epoch, above all that is known of."""
    async with contextlib.AsyncExitStack() as stack:
        store = await SqliteStore.open(settings.data)
        stack.push_async_callback(store.close)
        epoch = max(await store.epoch(), newest_epoch(settings.data), known_epoch) + 1
        clock = SystemClock(not_before_ms=born_ms(store.last_key))
        message = f"The data in place was declared a restored copy; epoch {epoch} from now on."
        await declare_restored(store, clock, epoch=epoch, message=message)
        return epoch


def _message(manifest: Manifest, epoch: int) -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(manifest.at / 1000))
    return f"Restored from a backup of {when} (epoch {manifest.epoch}); epoch {epoch} from now on."
