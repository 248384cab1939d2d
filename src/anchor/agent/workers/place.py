"""The directory of one worker: all that it can reach, and where a job's own directory is while the worker has it."""

import contextlib
import os
import stat
import sys
from pathlib import Path

from anchor.agent.files.removal import remove
from anchor.agent.sandbox import folders
from anchor.agent.sandbox.confinement import DEPTH_MAX, FILES_MAX
from anchor.agent.workers.worker import JOB


class Place:
    """Made for a worker, removed with it. What is in it was left there by a process nobody has to trust."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lent: Path | None = None
        path.mkdir(mode=0o700)

    def lend(self, directory: Path) -> None:
        """Move a job's directory in, by its name only. Raises OSError, also where it is on another file system."""
        directory.rename(self.path / JOB)
        self._lent = directory

    def give_back(self) -> None:
        """Move it back, unless that has been done. Whatever the worker left in its stead, a real directory is there
        afterwards. Raises OSError."""
        directory, self._lent = self._lent, None
        if directory is None:
            return
        inside = self.path / JOB
        with contextlib.suppress(FileNotFoundError):
            try:
                inside.rename(directory)
            except PermissionError:
                if sys.platform != "linux":
                    raise
                # A directory that its owner cannot write to cannot change its parent.
                _open_up(inside)
                inside.rename(directory)
        # Looked at only now, where the worker cannot change it any more.
        try:
            if stat.S_ISDIR(directory.lstat().st_mode):
                return
            directory.unlink()
        except FileNotFoundError:
            pass
        directory.mkdir()

    def overfull(self, size_bytes: int) -> bool:
        """Whether what is in it takes more than so much of the disk, is more than FILES_MAX files and folders, or lies
        more than DEPTH_MAX folders deep."""
        held = folders.measure(self.path, size_bytes)
        return held.size > size_bytes or held.files > FILES_MAX or held.depth > DEPTH_MAX

    def remove(self) -> None:
        """Remove it with everything in it that is not a job's; for after the worker's end."""
        self.give_back()
        with contextlib.suppress(OSError):
            self.path.rmdir()
            return
        remove(self.path)


def _open_up(folder: Path) -> None:
    """Give its owner all rights on a directory; a link in its place is not followed."""
    opened = os.open(folder, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        os.chmod(f"/proc/self/fd/{opened}", 0o700)
    finally:
        os.close(opened)
