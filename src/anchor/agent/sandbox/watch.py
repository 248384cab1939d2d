"""Looks at a running program again and again, and says when it is beyond one of its limits."""

import asyncio
import time

from anchor.agent.sandbox import folders, tree
from anchor.agent.sandbox.cgroup import Group
from anchor.agent.sandbox.confinement import DEPTH_MAX, FILES_MAX, PROCESSES_MAX, Cell
from anchor.core.errors import FailureCode

TICK_SECONDS = 0.1
TICK_SHORT_SECONDS = 0.004
"""The longest and the shortest time between two looks at a program's memory."""
FILL_MIB_PER_SECOND = 4000
"""About as fast as a program here can take memory: the next look comes before it can be far beyond its limit."""
LOOK_SHARE = 0.1
LOOK_SHARE_GROWING = 0.5
"""The most of the time that looking itself may take: the second while memory grows, and every moment counts."""
DISK_TICK_SECONDS = 0.2
DISK_TICK_LASTING_SECONDS = 2.0
LOOK_SHARE_LASTING = 0.01
"""As above, of a program that is to run for ever: its folders are looked at less often."""
_SPARE_MIB = 48
_MIB = 1024 * 1024


class Watch:
    """What one program has used so far. `group` measures what it can; the tree of processes is asked for the rest. One
    that is `lasting` is meant to run for ever."""

    def __init__(self, cell: Cell, group: Group | None, *, confined: bool, lasting: bool = False) -> None:
        self.peak_mib = 0.0
        self.memory_mib = 0.0
        """At the last look."""
        self.cpu_seconds = 0.0
        self.tick = TICK_SHORT_SECONDS
        self.overfull = ""
        """What is too much of it, once the disk limit was the reason."""
        self._cell = cell
        self._group = group
        self._confined = confined
        self._lasting = lasting
        self._counted = [mount.outside for mount in (cell.directory, *cell.mounts) if mount.writable and mount.counted]

    def look(self, root: int) -> FailureCode | None:
        """Look at the tree under the process `root` once; the limit it is beyond."""
        began = time.perf_counter()
        group, limit = self._group, float(self._cell.memory_mib)
        processes = 0
        memory = self._cell_tmpfs_mib(root)
        if group is None or not (group.measures_memory and group.measures_cpu):
            seen = tree.sample(root, limit, PROCESSES_MAX)
            processes = seen.processes
            memory += seen.memory_mib
            self.cpu_seconds = max(self.cpu_seconds, seen.cpu_seconds)
        if group is not None:
            if group.measures_memory:
                memory = group.memory_mib()
            if group.measures_cpu:
                self.cpu_seconds = group.cpu_seconds()
        self.peak_mib = max(self.peak_mib, memory)
        self._plan_next(memory, time.perf_counter() - began)
        if memory > limit or (group is not None and group.memory_kills()):
            return FailureCode.MEMORY_LIMIT
        if processes > PROCESSES_MAX or (group is not None and group.refused_processes()):
            return FailureCode.PROCESS_LIMIT
        return None

    def _plan_next(self, memory: float, cost: float) -> None:
        room = (self._cell.memory_mib + _SPARE_MIB - memory) / FILL_MIB_PER_SECOND
        growing = memory > self.memory_mib * 1.02 + 1
        shortest = max(TICK_SHORT_SECONDS, cost / (LOOK_SHARE_GROWING if growing else LOOK_SHARE))
        # At first often, so that a short program is measured as well.
        soon = min(room if growing else 4 * room, 1.5 * self.tick)
        self.tick = min(TICK_SECONDS, max(shortest, soon))
        self.memory_mib = memory

    def _cell_tmpfs_mib(self, root: int) -> float:
        """What lies in the cell's own tmpfs: memory that belongs to no process."""
        if not self._confined or (self._group is not None and self._group.measures_memory):
            return 0.0
        return tree.in_tmpfs(root, ("tmp", "dev/shm")) / _MIB

    async def until_full(self, root: int) -> FailureCode:
        """Return once more is on disk, or in files in memory, than may be. How often it looks depends on what a look
        costs."""
        shortest = DISK_TICK_LASTING_SECONDS if self._lasting else DISK_TICK_SECONDS
        share = LOOK_SHARE_LASTING if self._lasting else LOOK_SHARE
        pause = DISK_TICK_SECONDS
        while True:
            await asyncio.sleep(pause)
            began = time.perf_counter()
            if (code := await asyncio.to_thread(self.fullness, root)) is not None:
                return code
            pause = max(shortest, (time.perf_counter() - began) / share)

    def fullness(self, root: int | None) -> FailureCode | None:
        """The limit that the writable folders are beyond, or the files that the tree under `root` has only open."""
        most = self._cell.disk_mib * _MIB
        size = 0
        for path in self._counted:
            held = folders.measure(path, most)
            size += held.size
            if held.files > FILES_MAX:
                self.overfull = f"more than {FILES_MAX:,} files and folders"
            if held.depth > DEPTH_MAX:
                self.overfull = f"folders more than {DEPTH_MAX} deep in each other, or paths too long to be opened"
        if root is not None and size <= most:
            memory, disk = tree.held_open(root, self._cell.directory.outside.stat().st_dev)
            if memory > self._cell.memory_mib * _MIB:
                return FailureCode.MEMORY_LIMIT
            size += disk
        if size > most:
            self.overfull = f"more than {self._cell.disk_mib} MiB"
        return FailureCode.DISK_LIMIT if self.overfull else None
