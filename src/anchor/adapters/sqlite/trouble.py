"""What SQLite's and the operating system's errors mean to a caller."""

import errno
import sqlite3
from pathlib import Path

from anchor.core.errors import AnchorError, OutOfSpace, Unavailable

_ABOUT_THE_REQUEST = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.NotSupportedError,
)
_FULL = {errno.ENOSPC, errno.EDQUOT}


def is_about_the_place(error: BaseException) -> bool:
    """Whether an error comes from the disk or the file, so that every request of a commit shares it."""
    return isinstance(error, OSError) or (
        isinstance(error, sqlite3.Error) and not isinstance(error, _ABOUT_THE_REQUEST)
    )


def is_out_of_space(error: BaseException) -> bool:
    """Whether the disk is full."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return isinstance(error, sqlite3.Error) and _primary(error) == sqlite3.SQLITE_FULL


def explained(error: BaseException, directory: Path) -> AnchorError:
    """The same trouble in our own words."""
    if isinstance(error, AnchorError):
        return error
    if is_out_of_space(error):
        return out_of_space(directory)
    if isinstance(error, OSError):
        return Unavailable(
            f"The data directory {directory} cannot be used: {error.strerror or error}.",
            hint="Choose a directory this user may write to, with --data DIR.",
            code="data_directory_unusable",
        )
    code = _primary(error) if isinstance(error, sqlite3.Error) else None
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Unavailable(
            f"The database in {directory} is damaged: {error}.",
            hint="Stop the server, keep a copy of the directory, and restore it from a backup.",
            code="database_damaged",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return Unavailable(
            f"The database in {directory} cannot be opened for writing: {error}.",
            hint="Check who owns the files in it, and that the file system is not mounted read-only.",
            code="data_directory_unusable",
        )
    return Unavailable(
        f"The database in {directory} could not carry this out: {error}.",
        hint="Nothing was changed; look at the disk's health in the system log, then try again.",
        code="database_error",
    )


def out_of_space(directory: Path) -> OutOfSpace:
    """The error of a full disk."""
    return OutOfSpace(
        f"There is no space left for the data directory {directory}.",
        hint="Nothing was changed. Free some disk space; the server goes on by itself.",
    )


def _primary(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
