"""Removes directories that jobs have filled: however deep they are, and whatever permissions are in the way."""

import contextlib
import itertools
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def remove(directory: Path) -> None:
    """Remove a directory and all in it, or what was put in its place; no link is followed. What cannot be removed
    stays, what is not there is nothing to do, and nothing is raised.

    Nothing may run in it any more. Folders are moved up before they are looked into: a tree that is deeper than paths
    and open files reach takes no more of either than a flat one.
    """
    if directory.is_symlink() or directory.is_file():
        with contextlib.suppress(OSError):
            directory.unlink()
        return
    if sys.platform == "win32":
        shutil.rmtree(directory, onerror=_made_writable)
        return
    with contextlib.suppress(OSError):
        os.chmod(directory, 0o700)
        top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _empty(top)
        finally:
            os.close(top)
        os.rmdir(directory)


def _empty(top: int) -> None:
    fresh = (f".{secrets.token_hex(8)}.{number}" for number in itertools.count())
    waiting = _unlinked(top)
    while waiting:
        name = waiting.pop()
        with contextlib.suppress(OSError):
            os.chmod(name, 0o700, dir_fd=top)
            inside = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
            try:
                for folder in _unlinked(inside):
                    moved = next(fresh)
                    os.chmod(folder, 0o700, dir_fd=inside)  # a folder that is moved has its `..` written anew
                    os.rename(folder, moved, src_dir_fd=inside, dst_dir_fd=top)
                    waiting.append(moved)
            finally:
                os.close(inside)
            os.rmdir(name, dir_fd=top)


def _unlinked(fd: int) -> list[str]:
    """Remove every file of a directory; the names of its folders."""
    while True:
        folders: list[str] = []
        removed = 0
        with os.scandir(fd) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                    continue
                with contextlib.suppress(OSError):
                    os.unlink(entry.name, dir_fd=fd)
                    removed += 1
        if not removed:  # a directory that shrinks while it is read may not show everything at once
            return folders


def _made_writable(act: Callable[..., Any], path: str, _: Any) -> None:
    with contextlib.suppress(OSError):
        os.chmod(path, stat.S_IWRITE)
        act(path)
