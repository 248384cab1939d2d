"""The input files this node keeps: each fetched once, checked, and there for every later task that names it."""

import asyncio
import contextlib
import hashlib
import os
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import httpx
import structlog

from anchor.agent.files.room import NoRoom, spare_bytes
from anchor.agent.parcels import RETRY_SECONDS, TRIES_MAX, Parcels, unfetched
from anchor.agent.threads import in_thread
from anchor.core.errors import Unavailable
from anchor.core.pieces import Piece, piece_named
from anchor.core.spec import MIB

log = structlog.get_logger("anchor.inputs")
FETCHES_MAX = 4
"""Fetched at the same time, of all tasks together."""
WRITE_BYTES = MIB
UNFINISHED_SECONDS = 24 * 3600.0
"""How long what arrived of a file is kept for going on there."""
LIES_MAX = 2
"""How often a file may arrive whole and wrong."""


class _Fetch:
    """A file on its way, and how many tasks wait for it."""

    def __init__(self, task: "asyncio.Task[None]") -> None:
        self.task = task
        self.waiting = 0


class _Coming:
    """The bytes of a file on its way: all of them, and those that are still to be written."""

    def __init__(self, size: int, left: int) -> None:
        self.size = size
        self.left = left


class Inputs:
    """Blobs and pieces of blobs by their names (see core.pieces; a whole one's is its digest) in a directory that only
    the agent writes to.

    What is asked for while it is kept is used at once; the least recently used files make room for new ones, and never
    one that is in use. What is found at start is checked again before its first use; pieces, which no digest proves,
    are fetched again.
    """

    def __init__(self, directory: Path, parcels: Parcels, *, bytes_max: int) -> None:
        self._directory = directory
        self._unfinished = directory / "unfinished"
        self._parcels = parcels
        self._bytes_max = bytes_max
        self._kept: OrderedDict[str, int] = OrderedDict()
        self._proved: set[str] = set()
        self._held: Counter[str] = Counter()
        self._fetches: dict[str, _Fetch] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._coming: dict[str, _Coming] = {}
        self._fetching = asyncio.Semaphore(FETCHES_MAX)
        self._making_room = asyncio.Lock()
        self._unfinished.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        self._take_stock()

    def _take_stock(self) -> None:
        found: list[tuple[float, str, int]] = []
        for entry in os.scandir(self._directory):
            status = entry.stat(follow_symlinks=False)
            piece = piece_named(entry.name)
            if piece is None or not entry.is_file(follow_symlinks=False):
                continue
            if piece.is_whole:
                found.append((status.st_mtime, entry.name, status.st_size))
            else:
                (self._directory / entry.name).unlink()
        for _, name, size in sorted(found):
            self._kept[name] = size
        stale = time.time() - UNFINISHED_SECONDS
        for part in self._unfinished.iterdir():
            piece = piece_named(part.name)
            if piece is None or not piece.is_whole or part.stat().st_mtime < stale:
                part.unlink()

    @property
    def bytes_kept(self) -> int:
        """What the whole files take together."""
        return sum(self._kept.values())

    @asynccontextmanager
    async def held(self, names: Collection[str]) -> AsyncIterator[dict[str, tuple[Path, int]]]:
        """The file and its size for each name, for as long as the context is open; they must not be written to.

        Unavailable where one cannot be had from the server, NoRoom where this disk does not take it.
        """
        wanted = sorted(set(names))
        self._held.update(wanted)
        try:
            await self._have_all(wanted)
            yield {name: (self._directory / name, self._kept[name]) for name in wanted}
        finally:
            self._held.subtract(wanted)
            self._held += Counter()  # drops what nobody holds

    async def read(self, name: str) -> bytes:
        """All of a file's bytes, in memory."""
        async with self.held([name]) as files:
            return await in_thread(files[name][0].read_bytes)

    async def require_room(self, size: int) -> None:
        """NoRoom where the disk does not take this many bytes more beside what is on its way."""
        if await in_thread(spare_bytes, self._directory) - self._bytes_left < size:
            raise _no_room(size)

    @property
    def _bytes_left(self) -> int:
        return sum(coming.left for coming in self._coming.values())

    async def _have_all(self, names: Collection[str]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(self._have(name))
        except BaseExceptionGroup as several:
            raise _first(several) from None

    async def _have(self, name: str) -> None:
        """Wait until the file is there; whoever asks first has it fetched for everybody."""
        if name in self._proved and self._is_there(name):
            self._kept.move_to_end(name)
            os.utime(self._directory / name)
            return
        fetch = self._fetches.get(name)
        if fetch is None:
            fetch = self._fetches[name] = _Fetch(asyncio.create_task(self._bring(name)))
        fetch.waiting += 1
        try:
            await asyncio.shield(fetch.task)
        finally:
            fetch.waiting -= 1
            if self._fetches.get(name) is fetch and (fetch.task.done() or not fetch.waiting):
                del self._fetches[name]
            if not fetch.task.done() and not fetch.waiting:
                fetch.task.cancel()
                self._ending[name] = fetch.task
                fetch.task.add_done_callback(lambda task: self._forget_ending(name, task))
                await asyncio.wait({fetch.task})

    def _forget_ending(self, name: str, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            task.exception()  # nobody waits for it
        if self._ending.get(name) is task:
            del self._ending[name]

    def _is_there(self, name: str) -> bool:
        try:
            there = (self._directory / name).stat().st_size == self._kept.get(name)
        except FileNotFoundError:
            there = False
        if not there:
            self._kept.pop(name, None)
            self._proved.discard(name)
        return there

    async def _bring(self, name: str) -> None:
        if (before := self._ending.get(name)) is not None:
            await asyncio.wait({before})
        async with self._fetching:
            whole = self._directory / name
            if name in self._kept:
                if await in_thread(_digest_of, whole) == name:
                    self._proved.add(name)
                    return
                log.warning("a kept input is damaged and fetched again", digest=name)
                del self._kept[name]
                await in_thread(whole.unlink, missing_ok=True)
            part = self._unfinished / name
            try:
                size = await self._fetch(piece_named(name) or Piece(name), part)
                await in_thread(_keep, part, whole)
                self._kept[name] = size
                self._proved.add(name)
            except (OSError, NoRoom):
                await in_thread(part.unlink, missing_ok=True)
                raise
            finally:
                self._coming.pop(name, None)
                await in_thread(_remove_if_empty, part)

    async def _fetch(self, piece: Piece, part: Path) -> int:
        """Fetch what is missing of a file until all of it is there and right; its size."""
        failures = lies = 0
        while failures < TRIES_MAX:
            before = await in_thread(_size_of, part)
            try:
                if await self._fetch_rest(piece, part):
                    return await in_thread(_size_of, part)
            except httpx.HTTPError:
                failures = 0 if await in_thread(_size_of, part) > before else failures + 1
                await asyncio.sleep(RETRY_SECONDS * failures)
                continue
            await in_thread(part.unlink, missing_ok=True)
            lies += 1
            if lies == LIES_MAX:
                raise Unavailable(
                    f"The server sent other bytes than those of blob sha256:{piece.digest}.",
                    hint="Upload it again, or look for what changes bytes on the way.",
                )
        raise unfetched(piece.digest)

    async def _fetch_rest(self, piece: Piece, part: Path) -> bool:
        """Fetch a file from where the last fetch was cut; whether what is there now is the file."""
        # Opened right here: whoever is cancelled while a thread opens it has nothing to close.
        with part.open("ab") as file:
            hashed = hashlib.sha256()
            have = await in_thread(_hash_file, hashed, part)
            if piece.end is not None and piece.start + have >= piece.end:
                return piece.start + have == piece.end
            async with self._parcels.reading(piece.digest, piece.start + have, piece.end) as blob:
                if blob.start != piece.start + have:
                    if not piece.is_whole:
                        raise _no_pieces(piece)
                    await in_thread(file.truncate, 0)
                    hashed, have = hashlib.sha256(), 0
                    if blob.start:
                        return False
                size = _size_in(piece, blob.size)
                await self._make_room(piece.name, size, size - have)
                waiting = bytearray()
                try:
                    async for chunk in blob.chunks:
                        waiting += chunk
                        if have + len(waiting) > size:
                            return False
                        if len(waiting) >= WRITE_BYTES:
                            full, waiting = waiting, bytearray()  # a cancelled write is a write, too
                            have += await self._write(piece.name, file, hashed, full)
                finally:  # what has arrived before the line is cut is kept, too
                    have += await self._write(piece.name, file, hashed, waiting)
                return have == size and (not piece.is_whole or hashed.hexdigest() == piece.digest)

    async def _write(self, name: str, file: BinaryIO, hashed: "hashlib._Hash", content: bytearray) -> int:
        await in_thread(_append, file, hashed, content)
        self._coming[name].left -= len(content)
        return len(content)

    async def _make_room(self, name: str, size: int, left: int) -> None:
        """Have room for a file of which `left` bytes are still to come, and keep it for this one."""
        async with self._making_room:
            self._coming.pop(name, None)
            while True:
                under_way = {name, *self._coming}
                unfinished = await in_thread(self._bytes_unfinished, under_way)
                taken = self.bytes_kept + unfinished + sum(coming.size for coming in self._coming.values())
                spare = await in_thread(spare_bytes, self._directory) - self._bytes_left
                if taken + size <= self._bytes_max and left <= spare:
                    break
                oldest = next((one for one in self._kept if not self._held[one]), None)
                if oldest is None:
                    if self._ending:
                        await asyncio.wait(set(self._ending.values()))
                    elif not await in_thread(self._drop_unfinished):
                        raise _no_room(size)
                    continue
                del self._kept[oldest]
                self._proved.discard(oldest)
                await in_thread((self._directory / oldest).unlink, missing_ok=True)
            self._coming[name] = _Coming(size, left)

    def _bytes_unfinished(self, under_way: Collection[str]) -> int:
        return sum(_size_of(part) for part in self._unfinished.iterdir() if part.name not in under_way)

    def _drop_unfinished(self) -> bool:
        """Remove what arrived of files that nobody waits for any more; whether there was some."""
        dropped = False
        for part in self._unfinished.iterdir():
            if part.name not in self._fetches and part.name not in self._ending:
                with contextlib.suppress(FileNotFoundError):
                    part.unlink()
                    dropped = True
        return dropped


def _no_room(size: int) -> NoRoom:
    return NoRoom(
        f"This node's disk has no room for {size / MIB:.1f} MiB of input files.",
        hint="Free some disk space there, or raise its share of the disk; other nodes may have room.",
    )


def _size_in(piece: Piece, blob_size: int) -> int:
    """How many bytes a piece of a blob of this size has; Unavailable where it does not lie within."""
    end = blob_size if piece.end is None else piece.end
    if end > blob_size or (end <= piece.start and not piece.is_whole):
        asked = f"{piece.start}:{'' if piece.end is None else piece.end}"
        raise Unavailable(
            f"The bytes [{asked}] are not all in blob sha256:{piece.digest}, which has {blob_size:,}.",
            hint="Name a piece that lies within the blob.",
        )
    return end - piece.start


def _no_pieces(piece: Piece) -> Unavailable:
    return Unavailable(
        f"A piece of blob sha256:{piece.digest} was asked for, and something else was sent.",
        hint="Let whatever stands before the server pass the header Range on.",
    )


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = several
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _size_of(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def _remove_if_empty(part: Path) -> None:
    if part.exists() and not part.stat().st_size:
        part.unlink()


def _hash_file(hashed: "hashlib._Hash", path: Path) -> int:
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(WRITE_BYTES):
            hashed.update(chunk)
            size += len(chunk)
    return size


def _digest_of(path: Path) -> str | None:
    hashed = hashlib.sha256()
    try:
        _hash_file(hashed, path)
    except OSError:
        return None
    return hashed.hexdigest()


def _append(file: BinaryIO, hashed: "hashlib._Hash", content: bytearray) -> None:
    file.write(content)
    file.flush()
    hashed.update(content)


def _keep(part: Path, whole: Path) -> None:
    with part.open("ab") as file:  # of an empty file nothing came: it is made here
        os.fsync(file.fileno())
    part.chmod(0o400)
    part.replace(whole)
