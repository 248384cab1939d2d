"""The data directory: one process at a time, and a little space kept back for the day the disk is full."""

import os
import shutil
import sys
from pathlib import Path
from types import TracebackType
from typing import IO

from anchor.adapters.sqlite.trouble import explained
from anchor.core.errors import Conflict

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

BALLAST_BYTES = 8 * 1024 * 1024
RESERVE_BYTES = 64 * 1024 * 1024
RESERVE_SHARE = 0.05
_LOCK_BYTE = 1 << 30


class DataDirectory:
    """A directory held by this process until `close`.

    Conflict where another process holds it; Unavailable or OutOfSpace where it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = self._take()
        except OSError as error:
            raise explained(error, path) from error
        self._ballast = path / "ballast"
        self._ballast_bytes = 0
        self.ballast_is_set = False
        try:
            self.set_ballast()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "DataDirectory":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have it."""
        self._lock.close()

    def has_room(self) -> bool:
        """Whether more free space is left than the reserve: 64 MiB or 5 % of the disk, whichever is smaller.

        While the ballast is dropped its space does not count as free.
        """
        usage = shutil.disk_usage(self.path)
        owed = 0 if self.ballast_is_set else self._ballast_bytes
        return usage.free - owed > min(RESERVE_BYTES, int(usage.total * RESERVE_SHARE))

    def set_ballast(self) -> None:
        """Keep 8 MiB back (less on a disk with less than 32 MiB free), to be dropped when the disk is full."""
        try:
            with self._ballast.open("ab") as file:
                size = min(BALLAST_BYTES, file.tell() + shutil.disk_usage(self.path).free // 4)
                if file.tell() < size:
                    _allocate(file, size)
        except OSError as error:
            raise explained(error, self.path) from error
        self._ballast_bytes = size
        self.ballast_is_set = True

    def drop_ballast(self) -> None:
        """Give the space back, so that what runs can still be finished and old tasks can be removed."""
        self.ballast_is_set = False
        os.truncate(self._ballast, 0)

    def _take(self) -> IO[str]:
        file = (self.path / "anchor.lock").open("a+", encoding="ascii")
        try:
            if sys.platform == "win32":
                file.seek(_LOCK_BYTE)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            file.close()
            raise Conflict(
                f"The data directory {self.path} is in use by another Anchor server (process {holder}).",
                hint="Stop that server, or give this one a directory of its own with --data DIR.",
                code="data_directory_in_use",
            ) from error
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        return file


def _allocate(file: IO[bytes], size: int) -> None:
    if sys.platform != "win32" and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.write(bytes(size - file.tell()))
