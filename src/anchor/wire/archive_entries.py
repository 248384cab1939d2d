"""What archives are made of, whatever their format, and how much of it is taken."""

from collections.abc import Iterator
from enum import Enum
from typing import Final

import msgspec

from anchor.core.errors import InvalidRequest
from anchor.core.spec import MIB

_SHOWN: Final = 200


class Kind(Enum):
    """What an entry is; there is nothing else in a source."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry under its path as written in the archive. `target` is where a link leads; `chunks` are a file's bytes,
    which can be read once and before the next entry is asked for."""

    path: str
    kind: Kind
    target: str = ""
    executable: bool = False
    chunks: Iterator[bytes] = iter(())


class Room:
    """What an archive may still unpack to; `taken` is what it has."""

    def __init__(self, bytes_max: int, entries_max: int, link_bytes_max: int) -> None:
        self.taken = 0
        self.link_bytes_max = link_bytes_max
        self._bytes_max = bytes_max
        self._entries_max = entries_max
        self._entries = 0

    def take(self, size: int, path: str) -> None:
        """Count this many bytes; refused where they are too many."""
        self.taken += size
        if self.taken > self._bytes_max:
            raise InvalidRequest(
                f"The archive unpacks to more than {self._bytes_max / MIB:,.0f} MiB, beginning with {shown(path)}.",
                hint="Leave out what the app does not need: 1 GiB, and 100 times the archive's own size, is the most.",
                code="bad_archive",
            )

    def enter(self) -> None:
        """Count one more entry."""
        self._entries += 1
        if self._entries > self._entries_max:
            raise InvalidRequest(
                f"The archive has more than {self._entries_max:,} entries.",
                hint="Leave out what is installed or built anyway, such as node_modules.",
                code="bad_archive",
            )


def refused(path: str, why: str) -> InvalidRequest:
    """The error for an entry that is not taken."""
    return InvalidRequest(
        f"The entry {shown(path)} {why}.",
        hint="Pack plain files and folders, with paths relative to the app's folder.",
        code="bad_archive",
    )


def damaged(what: str) -> InvalidRequest:
    """The error for an archive that cannot be read."""
    return InvalidRequest(
        f"The archive cannot be read: {what}.",
        hint="Send a zip, a tar or a tar.gz of the app's folder.",
        code="bad_archive",
    )


def shown(path: str) -> str:
    """A path as it can be printed, whatever is in it."""
    return ascii(path if len(path) <= _SHOWN else path[:_SHOWN] + "…")
