"""Folders that cost something to make, kept under a key: made once, complete or not there, the oldest removed."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from anchor.agent.files.removal import remove
from anchor.agent.sandbox import folders

try:
    import fcntl
except ImportError:  # Windows: folders that are in use cannot be renamed there anyway
    fcntl = None  # type: ignore[assignment]

Make = Callable[[Path], Awaitable[None]]
"""Fills an empty folder."""
_FRESH: Final = "tmp-"
_SIZE: Final = ".size"


class Shelf:
    """Such folders below `folder`; beyond `count_max`, or `bytes_max` in all, those unused for longest are removed.

    Several shelves on one folder, also those of other processes, share what is there: a folder in use is locked.
    """

    def __init__(self, folder: Path, *, count_max: int, bytes_max: int) -> None:
        self._folder = folder
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._locks: dict[str, asyncio.Lock] = {}

    def prepare(self) -> None:
        """Make the shelf itself and remove what an interrupted making left."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob(f"{_FRESH}*"):
            remove(leftover)

    @asynccontextmanager
    async def kept(self, key: str, make: Make) -> AsyncIterator[Path]:
        """The folder of this key, filled by `make` if it is not there, kept while the context is open."""
        folder = self._folder / key
        async with contextlib.AsyncExitStack() as held:
            async with self._locks.setdefault(key, asyncio.Lock()):
                while not held.enter_context(_used(folder)):
                    await self._make(folder, make)
            os.utime(folder)
            yield folder

    async def _make(self, folder: Path, make: Make) -> None:
        fresh = Path(tempfile.mkdtemp(prefix=_FRESH, dir=self._folder))
        try:
            await make(fresh)
            await asyncio.to_thread(self._put_in_place, fresh, folder)
        finally:
            await asyncio.to_thread(remove, fresh)
        await asyncio.to_thread(self._remove_oldest, folder)

    def _put_in_place(self, fresh: Path, folder: Path) -> None:
        size = folders.measure(fresh, self._bytes_max).size
        try:
            # Whatever has this name is complete: it appears at once or not at all.
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            return  # another shelf on this folder was quicker
        folder.with_suffix(_SIZE).write_text(str(size))

    def _remove_oldest(self, newest: Path) -> None:
        found = [(one.stat().st_mtime, one) for one in self._folder.iterdir() if _is_kept(one) and one != newest]
        count, size = 1, _size_of(newest)
        for _, folder in sorted(found, reverse=True):
            count, size = count + 1, size + _size_of(folder)
            if count > self._count_max or size > self._bytes_max:
                self._remove(folder)

    def _remove(self, folder: Path) -> None:
        """Remove a folder unless it is in use."""
        with _lock(folder, alone=True) as locked:
            if not locked:
                return
            gone = Path(tempfile.mkdtemp(prefix=_FRESH, dir=self._folder))
            with contextlib.suppress(OSError):
                folder.rename(gone / folder.name)
                folder.with_suffix(_SIZE).unlink(missing_ok=True)
        remove(gone)


@contextlib.contextmanager
def _used(folder: Path) -> Iterator[bool]:
    """Whether the folder is there; if so nobody removes it while the context is open."""
    with _lock(folder, alone=False) as locked:
        yield locked


@contextlib.contextmanager
def _lock(folder: Path, *, alone: bool) -> Iterator[bool]:
    if fcntl is None:
        yield folder.is_dir()
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield False
        return
    try:
        locked = False
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            # Whoever removes it may have been quicker, and somebody may have made it anew.
            locked = os.path.samestat(os.fstat(descriptor), folder.stat())
        yield locked
    finally:
        os.close(descriptor)


def _is_kept(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith(_FRESH)


def _size_of(folder: Path) -> int:
    try:
        return int(folder.with_suffix(_SIZE).read_text())
    except (OSError, ValueError):
        return 0
