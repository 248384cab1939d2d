"""What a server was set to and stands on, as whoever started it tells: the server itself knows no configuration."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anchor.core.attempt import Reason
from anchor.wire.records import SettingView

FILES_MAX: Final = 200_000
"""A directory of more files is not looked through."""


def _well() -> Reason | None:
    return None


@dataclass(frozen=True)
class About:
    """`store`, `queue` and `blobs` are kinds of engines in words; `queue_trouble` says what is wrong with the queue."""

    settings: tuple[SettingView, ...] = ()
    store: str = ""
    queue: str = ""
    blobs: str = ""
    data: Path | None = None
    queue_trouble: Callable[[], Reason | None] = _well


def size_of(directory: Path) -> int | None:
    """How many bytes the files in a directory are together; None where there are too many to look at."""
    size = seen = 0
    folders = [str(directory)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if seen > FILES_MAX:
                        return None
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
        except OSError:  # it went while we looked, or is not ours to read
            continue
    return size
