"""How much of a disk the files of jobs may take: never the last of it."""

import shutil
from pathlib import Path

from anchor.core.spec import MIB

INPUTS_BYTES_MAX = 10 * 1024 * MIB
"""What the kept inputs of a node take together where its owner has set no share of the disk."""
INPUTS_SHARE = 0.5
"""How much of the owner's share of the disk kept inputs may take; the rest is for the directories of jobs."""
FREE_BYTES_MIN = 1024 * MIB
FREE_SHARE_MIN = 0.05
"""What stays free on the disk: the smaller of these two, of which the second is a share of the whole disk."""


class NoRoom(Exception):
    """This node's disk does not take these files; another node's may."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def inputs_bytes_max(disk_mib: int | None) -> int:
    """What kept inputs may take, given the owner's share of the disk."""
    return INPUTS_BYTES_MAX if disk_mib is None else int(disk_mib * MIB * INPUTS_SHARE)


def jobs_mib_max(disk_mib: int) -> int:
    """What the directories of running jobs may take together of the owner's share of the disk."""
    return max(1, int(disk_mib * (1 - INPUTS_SHARE)))


def spare_bytes(directory: Path) -> int:
    """What may still be written to the disk that a directory is on; below 0 where too much is."""
    usage = shutil.disk_usage(directory)
    return usage.free - int(min(FREE_BYTES_MIN, usage.total * FREE_SHARE_MIN))
