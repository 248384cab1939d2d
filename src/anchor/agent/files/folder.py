"""A directory held open: what is reached beneath it, name by name, cannot be led elsewhere by a link."""

import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_BY_HANDLE: Final = os.open in os.supports_dir_fd
"""Elsewhere (Windows) what is a link is seen by looking before each step: nothing runs in the directory by then."""
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_READ: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
_MAKE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_WINDOWS_ODD: Final = re.compile(r'[<>:"|?*]|[ .]\Z|\A(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|\Z)', re.IGNORECASE)


class Folder:
    """An open directory. Names are single parts of paths; every method raises OSError, links are never followed."""

    def __init__(self, path: Path, fd: int | None) -> None:
        self._path = path
        self._fd = fd

    @classmethod
    def open(cls, path: Path) -> Self:
        """The directory at a path of the agent's own."""
        return cls(path, os.open(path, _FOLDER) if _BY_HANDLE else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def entries(self) -> Iterator[tuple[str, os.stat_result]]:
        """What there is, each with its own status (that of a link, not of what it leads to); unordered."""
        with os.scandir(self._path if self._fd is None else self._fd) as found:
            for entry in found:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield entry.name, status

    def folder(self, name: str) -> Self:
        """The directory of this name."""
        if self._fd is None:
            self._refuse_link(name)
            return type(self)(self._path / name, None)
        return type(self)(self._path / name, os.open(name, _FOLDER, dir_fd=self._fd))

    def file(self, name: str) -> int:
        """A descriptor that reads the file of this name; OSError where it is no regular file."""
        if self._fd is None:
            self._refuse_link(name)
        fd = self._open(name, _READ)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(f"{name} is no regular file")
        return fd

    def made_folder(self, name: str) -> Self:
        """The directory of this name, made where it is missing, for everybody to read."""
        _refuse_odd(name)
        try:
            if self._fd is None:
                os.mkdir(self._path / name)
            else:
                os.mkdir(name, dir_fd=self._fd)
        except FileExistsError:
            return self.folder(name)
        made = self.folder(name)
        if made._fd is not None:
            os.fchmod(made._fd, 0o755)
        return made

    def made_file(self, name: str) -> int:
        """A descriptor that writes a new file, for everybody to read; FileExistsError where the name is taken."""
        _refuse_odd(name)
        fd = self._open(name, _MAKE)
        if self._fd is not None:
            os.fchmod(fd, 0o644)
        return fd

    def _open(self, name: str, flags: int) -> int:
        if self._fd is None:
            return os.open(self._path / name, flags, 0o644)
        return os.open(name, flags, 0o644, dir_fd=self._fd)

    def _refuse_link(self, name: str) -> None:
        status = os.lstat(self._path / name)
        if getattr(status, "st_reparse_tag", 0) or stat.S_ISLNK(status.st_mode):
            raise OSError(f"{name} is a link")


def _refuse_odd(name: str) -> None:
    if sys.platform == "win32" and _WINDOWS_ODD.search(name):
        raise OSError(f"Windows cannot have a file called {name}")
