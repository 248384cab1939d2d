"""How much a task's directory holds, hostile or not.

No link is followed and the file system not left; folders may be unreadable, and change while they are looked at.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from anchor.agent.sandbox.confinement import DEPTH_MAX, FILES_MAX

_PATH = getattr(os, "O_PATH", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Held(msgspec.Struct, frozen=True):
    """Bytes on disk (what a sparse file leaves out is not there), files and folders, and how deep these go; more than
    DEPTH_MAX also where a path is too long to be opened. The count ends once it is beyond what may be."""

    size: int
    files: int
    depth: int


def measure(root: Path, most_bytes: int) -> Held:
    """What the folder (or the file) `root` holds, hard links to one file counted once."""
    try:
        about = root.lstat()
    except OSError:
        return Held(0, 0, 0)
    if not stat.S_ISDIR(about.st_mode):
        return Held(_on_disk(about), 1, 0)
    size = files = deepest = 0
    linked: set[int] = set()
    waiting = [(str(root), 1)]
    while waiting and size <= most_bytes and files <= FILES_MAX and deepest <= DEPTH_MAX:
        folder, depth = waiting.pop()
        deepest = max(deepest, depth)
        try:
            with _opened(folder, 0o500) as descriptor:
                if os.fstat(descriptor).st_dev != about.st_dev:
                    continue
                with os.scandir(descriptor) as entries:
                    for entry in entries:
                        files += 1
                        with contextlib.suppress(OSError):
                            found = entry.stat(follow_symlinks=False)
                            if stat.S_ISDIR(found.st_mode):
                                waiting.append((f"{folder}/{entry.name}", depth + 1))
                            if found.st_nlink == 1 or stat.S_ISDIR(found.st_mode) or found.st_ino not in linked:
                                size += _on_disk(found)
                                linked.add(found.st_ino)
                        if files > FILES_MAX:
                            break
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                # Whoever goes down step by step gets there, and what lies there would be counted by nobody.
                deepest = DEPTH_MAX + 1
    return Held(size, files, deepest)


@contextlib.contextmanager
def _opened(folder: str, mode: int) -> Iterator[int]:
    """A descriptor of a folder, whose owner is given the rights `mode` first where they are missing."""
    try:
        descriptor = os.open(folder, _FOLDER)
    except PermissionError:
        place = os.open(folder, _FOLDER | _PATH)
        try:
            os.chmod(f"/proc/self/fd/{place}", mode)
        finally:
            os.close(place)
        descriptor = os.open(folder, _FOLDER)
    try:
        now = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if now & mode != mode:
            with contextlib.suppress(PermissionError):
                os.fchmod(descriptor, now | mode)
        yield descriptor
    finally:
        os.close(descriptor)


def _on_disk(about: os.stat_result) -> int:
    return about.st_blocks * 512
