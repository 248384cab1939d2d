"""The words of confinement: how strong it is, and what a confined program may see and use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

FILES_OPEN_MAX = 4096
FILE_BYTES_MAX = 4 * 1024**3
PROCESSES_MAX = 512
"""Processes and threads a confined task may have at once."""
FILES_MAX = 50_000
"""Files and folders a task may have in its directory."""
DEPTH_MAX = 100
"""How deep its folders may lie in each other."""


class Confinement(msgspec.Struct, frozen=True):
    """What holds a native program here, best first:

    `confined`: bubblewrap gives it namespaces of its own (user, pid, mount, ipc, uts, cgroup and, unless it may use the
    network, net), a filter on system calls, a read-only system, and one writable directory; nothing of it survives its
    end. The self-test has tried to get out, and failed.
    `process`: its own session under a reaper that ends its descendants, and resource limits. It can read what the
    agent's user can read and reach the network, and a program that kills its reaper can leave processes behind.
    `none`: this platform has neither; native work is not offered.

    `why` says what is missing for the next better level, `fix` what the machine's owner can do about it. `hardened` is
    a bubblewrap that can size a tmpfs and switch further user namespaces off. `cgroup` are the folders for groups that
    bound a task, by controller (`pids`, `memory`, `cpuacct`, `cpu`). Without one for processes it is RLIMIT_NPROC,
    which the kernel does not apply to root; for memory the watcher; for time affinity to cores.
    """

    level: Literal["confined", "process", "none"]
    why: str = ""
    bwrap: str = ""
    hardened: bool = False
    cgroup: Mapping[str, str] = {}
    fix: str = ""


class Mount(msgspec.Struct, frozen=True):
    """A host path and the name a confined program knows it by. What is in a writable one is `counted` against the
    limit on disk, unless it is somebody else's too."""

    outside: Path
    inside: str
    writable: bool = False
    counted: bool = True

    def seen(self, confinement: Confinement) -> str:
        """The path under which a program started with this confinement finds it."""
        return self.inside if confinement.level == "confined" else str(self.outside)


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """All that a program may see and use. `directory` is its working directory, the only place it can write to
    beside `/tmp`, `/dev/shm` and the writable `mounts`; what these hold together counts against `disk_mib`. `network`
    and `gpu` open the machine's own. `cores` is its share of processor time, None the agent's own."""

    directory: Mount
    mounts: tuple[Mount, ...] = ()
    memory_mib: int
    disk_mib: int = 1024
    network: bool = False
    gpu: bool = False
    cores: float | None = None
