"""The words of confinement: how strong it is, and what a confined program may see and use."""

from pathlib import Path
from typing import Literal

import msgspec

FILES_OPEN_MAX = 4096
FILE_BYTES_MAX = 4 * 1024**3
PROCESSES_MAX = 512
"""Processes and threads a confined task may have at once."""


class Confinement(msgspec.Struct, frozen=True):
    """What holds a native program here, best first:

    `confined`: bubblewrap gives it namespaces of its own (user, pid, mount, ipc, uts, net, cgroup), a read-only
    system, no network, and one writable directory; nothing of it survives its end.
    `process`: its own session under a reaper that ends its descendants, and resource limits. It can read what the
    agent's user can read and reach the network, and a program that kills its reaper can leave processes behind.
    `none`: this platform has neither; native work is not offered.

    `why` says what is missing for the next better level. `hardened` is a bubblewrap that can size a tmpfs and switch
    further user namespaces off. `cgroup` is the folder for groups that bound a task's processes; without one it is
    RLIMIT_NPROC, which the kernel does not apply to root.
    """

    level: Literal["confined", "process", "none"]
    why: str = ""
    bwrap: str = ""
    hardened: bool = False
    cgroup: str = ""


class Mount(msgspec.Struct, frozen=True):
    """A host path and the name a confined program knows it by."""

    outside: Path
    inside: str
    writable: bool = False

    def seen(self, confinement: Confinement) -> str:
        """The path under which a program started with this confinement finds it."""
        return self.inside if confinement.level == "confined" else str(self.outside)


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """All that a program may see and use. `directory` is its working directory, the only place it can write to
    beside `/tmp`, `/dev/shm` and the writable `mounts`."""

    directory: Mount
    mounts: tuple[Mount, ...] = ()
    memory_mib: int
