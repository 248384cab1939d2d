"""Uploads under way, each in a file that grows: `parts/<owner>/<digest>.<total bytes>`."""

import asyncio
import hashlib
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from anchor.adapters.files.blobs import CHUNK_BYTES, UNFINISHED_SECONDS, explained
from anchor.core.errors import Conflict, OutOfSpace, TooManyRequests

PARTS_PER_OWNER_MAX = 64
BYTES_PER_OWNER_MAX = 4 * 1024 * 1024 * 1024
"""What one owner's unfinished uploads may come to together, by the sizes they were announced with."""
RESERVE_BYTES = 64 * 1024 * 1024
RESERVE_SHARE = 0.05
"""Of the disk, 64 MiB or 5 % (whichever is smaller) is left to the store: what ends has to be written down."""
ROOM_STEP_BYTES = 8 * 1024 * 1024
"""After so many bytes of an upload the disk is looked at again."""
BUSY_RETRY_SECONDS = 1


class FileParts:
    """Parts in a directory that one process owns; they outlast a restart."""

    def __init__(
        self,
        directory: Path,
        *,
        per_owner_max: int = PARTS_PER_OWNER_MAX,
        bytes_per_owner_max: int = BYTES_PER_OWNER_MAX,
    ) -> None:
        self._directory = directory
        self._per_owner_max = per_owner_max
        self._bytes_per_owner_max = bytes_per_owner_max
        self._busy: set[Path] = set()
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explained(error, directory) from error

    async def held(self, owner: str, digest: str, total: int) -> int:
        """How many bytes of a blob of `total` bytes have arrived from this owner."""
        return await asyncio.to_thread(_size, self._place(owner, digest, total))

    @asynccontextmanager
    async def hold(self, owner: str, digest: str, total: int) -> AsyncIterator["FilePart"]:
        """The part, to go on with; Conflict while another request does, TooManyRequests where this owner has too much
        under way and none of it is idle (what has been idle longest makes room)."""
        place = self._place(owner, digest, total)
        if place in self._busy:
            raise Conflict(
                "Another request is bringing this blob.",
                hint="Ask again in a second where to go on: PUT with Content-Range: bytes */TOTAL.",
                code="upload_busy",
                retry_after_seconds=BUSY_RETRY_SECONDS,
            )
        self._busy.add(place)
        try:
            await asyncio.to_thread(self._make_room_for, place, total)
            yield FilePart(place, self, await asyncio.to_thread(_size, place))
        finally:
            self._busy.discard(place)

    async def require_room(self, wanted_bytes: int) -> None:
        """OutOfSpace where so many bytes would go into what of the disk is left to work that is there already."""
        usage = await asyncio.to_thread(shutil.disk_usage, self._directory)
        if usage.free - wanted_bytes < min(RESERVE_BYTES, int(usage.total * RESERVE_SHARE)):
            raise OutOfSpace(
                "The server's disk is too full for these bytes.",
                hint="Free some disk space on the server and send them again.",
            )

    async def sweep(self) -> int:
        """Remove parts to which nothing was added for a day; how many they were."""
        return await asyncio.to_thread(self._sweep)

    def _sweep(self) -> int:
        before = time.time() - UNFINISHED_SECONDS
        stale = [part for part in self._directory.glob("*/*") if part not in self._busy and _touched(part) < before]
        for part in stale:
            part.unlink(missing_ok=True)
        return len(stale)

    def _place(self, owner: str, digest: str, total: int) -> Path:
        # Owners are names that people chose: their digests are safe as names of folders.
        return self._directory / hashlib.sha256(owner.encode()).hexdigest()[:32] / f"{digest}.{total}"

    def _make_room_for(self, place: Path, total: int) -> None:
        try:
            place.parent.mkdir(exist_ok=True)
            others = sorted((part for part in place.parent.iterdir() if part != place), key=_touched)
        except OSError as error:
            raise explained(error, self._directory) from error
        idle = [part for part in others if part not in self._busy]
        left = self._bytes_per_owner_max - total - sum(_announced(part) for part in others)
        count = len(others) + 1
        while count > self._per_owner_max or left < 0:
            if not idle:
                raise TooManyRequests(
                    f"One owner's unfinished uploads are at most {self._per_owner_max}, "
                    f"and {self._bytes_per_owner_max:,} bytes together.",
                    hint="Finish some of them first.",
                    code="too_many_uploads",
                    retry_after_seconds=BUSY_RETRY_SECONDS,
                )
            gone = idle.pop(0)
            gone.unlink(missing_ok=True)
            left += _announced(gone)
            count -= 1


class FilePart:
    """The beginning of a blob, held by one request at a time."""

    def __init__(self, place: Path, parts: FileParts, size: int) -> None:
        self._place = place
        self._parts = parts
        self._size = size

    @property
    def size(self) -> int:
        """How many bytes have arrived."""
        return self._size

    async def append(self, chunks: AsyncIterator[bytes]) -> None:
        """Keep what follows; what came before `chunks` broke off is kept, too. OutOfSpace where the disk is full."""
        await self._parts.require_room(ROOM_STEP_BYTES)
        checked_at = self._size
        file = await asyncio.to_thread(self._open)
        waiting = bytearray()
        try:
            try:
                async for chunk in chunks:
                    waiting += chunk
                    if len(waiting) >= CHUNK_BYTES:
                        await self._keep(file, waiting)
                    if self._size - checked_at >= ROOM_STEP_BYTES:
                        await self._parts.require_room(ROOM_STEP_BYTES)
                        checked_at = self._size
            finally:
                await asyncio.shield(self._keep(file, waiting))
        finally:
            await asyncio.shield(asyncio.to_thread(file.close))

    async def read(self) -> AsyncIterator[bytes]:
        """What has arrived, in chunks."""
        with await asyncio.to_thread(self._place.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk

    async def drop(self) -> None:
        """Forget what has arrived."""
        await asyncio.to_thread(self._place.unlink, True)
        self._size = 0

    def _open(self) -> IO[bytes]:
        try:
            return self._place.open("ab", buffering=0)
        except OSError as error:
            raise explained(error, self._place.parent) from error

    async def _keep(self, file: IO[bytes], waiting: bytearray) -> None:
        content = bytes(waiting)
        waiting.clear()
        try:
            self._size += await asyncio.to_thread(_written, file, content)
        except OSError as error:
            self._size = await asyncio.to_thread(_size, self._place)
            raise explained(error, self._place.parent) from error


def _written(file: IO[bytes], content: bytes) -> int:
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]
    return len(content)


def _size(place: Path) -> int:
    try:
        return place.stat().st_size
    except FileNotFoundError:
        return 0


def _touched(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _announced(place: Path) -> int:
    return int(place.suffix.removeprefix("."))
