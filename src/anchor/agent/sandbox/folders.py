"""A task's directory as its owner left it, hostile or not: how much it holds, and its removal, whatever is in it.

Nothing here follows a link, leaves the file system, or recurses: folders may lie thousands deep, be unreadable, and
change while they are looked at.
"""

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from anchor.agent.sandbox.confinement import DEPTH_MAX, FILES_MAX

_PATH = getattr(os, "O_PATH", 0)
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Held(msgspec.Struct, frozen=True):
    """Bytes on disk (what a sparse file leaves out is not there), files and folders, and how deep these go. The count
    ends once it is beyond what may be."""

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
        with contextlib.suppress(OSError), _opened(folder, 0o500) as descriptor:
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
    return Held(size, files, deepest)


def remove(root: Path) -> None:
    """Remove a folder with all that is in it; that there is none is no error. Raises OSError where it cannot."""
    numbers = itertools.count()
    top = str(root)
    waiting = [top]
    try:
        while waiting:
            folder = waiting.pop()
            waiting += _emptied(folder, top, numbers)
            if folder != top:
                os.rmdir(folder)
        os.rmdir(top)
    except FileNotFoundError:
        if root.exists():
            raise


def _emptied(folder: str, top: str, numbers: Iterator[int]) -> list[str]:
    """Unlink the files in `folder`; its folders are the answer, moved up to `top` so that no path ever gets long."""
    with _opened(folder, 0o700) as descriptor:
        with os.scandir(descriptor) as entries:
            names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_folder in names:
            if not is_folder:
                os.unlink(name, dir_fd=descriptor)
        folders = [name for name, is_folder in names if is_folder]
        if folder == top:
            return [f"{top}/{name}" for name in folders]
        return [_moved(name, descriptor, top, numbers) for name in folders]


def _moved(name: str, folder: int, top: str, numbers: Iterator[int]) -> str:
    os.chmod(name, 0o700, dir_fd=folder)  # a folder that may not be written to cannot be given another parent
    while True:
        target = f"{top}/.removed-{next(numbers)}"
        try:
            os.rename(name, target, src_dir_fd=folder)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        else:
            return target


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
