"""A process and all its descendants, as they are right now: who they are and how much memory they hold."""

import contextlib
import math
import os
import signal
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_MIB = 1024 * 1024
_HAS_CHILDREN_FILES = Path(f"/proc/self/task/{os.getpid()}/children").exists()
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


class Sample(msgspec.Struct, frozen=True):
    """What a tree holds: processes, memory in MiB, and CPU time in seconds, that of its reaped dead included."""

    processes: int
    memory_mib: float
    cpu_seconds: float


def members(root: int, most: float = math.inf) -> list[int]:
    """The pids of `root` and its descendants, as far as they still live; the search ends once there are `most`."""
    if not _HAS_CHILDREN_FILES:
        try:
            return [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
        except psutil.NoSuchProcess:
            return []
    found = [root]
    for pid in found:
        if len(found) > most:
            break
        with contextlib.suppress(*_GONE):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(*_GONE):
                    found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
    return found


def sample(root: int, limit_mib: float | None, most: float = math.inf) -> Sample:
    """What the tree under `root` holds. Resident sizes count shared pages once per process, so a sum over the limit
    is measured again proportionally before anybody is blamed for it."""
    pids = members(root, most)
    resident = sum(map(_resident, pids)) / _MIB
    if limit_mib is not None and resident > limit_mib and len(pids) > 1:
        resident = sum(map(_proportional, pids)) / _MIB
    return Sample(len(pids), resident, sum(map(_cpu_seconds, pids)))


def in_tmpfs(root: int, places: Iterable[str]) -> int:
    """Bytes in the file systems of its own that the process `root` has at these places below its `/`. Until bubblewrap
    has made them it still has the machine's, which do not count."""
    used = 0
    for place in places:
        with contextlib.suppress(*_GONE):
            found = os.open(f"/proc/{root}/root/{place}", os.O_PATH | os.O_CLOEXEC)
            try:
                device = os.fstat(found).st_dev
                if device not in {os.stat(f"/{place}").st_dev, os.stat("/").st_dev}:
                    about = os.fstatvfs(found)
                    used += (about.f_blocks - about.f_bfree) * about.f_frsize
            finally:
                os.close(found)
    return used


def held_open(root: int, device: int) -> tuple[int, int]:
    """Bytes that no folder shows any more: of memory files (memfd), and of deleted files of the file system `device`,
    both as far as the tree has them open. The tree may change meanwhile."""
    memory: dict[int, int] = {}
    disk: dict[int, int] = {}
    for pid in members(root):
        with contextlib.suppress(*_GONE):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(*_GONE):
                    link = os.readlink(f"/proc/{pid}/fd/{number}")
                    if not link.endswith(" (deleted)"):
                        continue
                    about = os.stat(f"/proc/{pid}/fd/{number}")
                    if link.startswith("/memfd:"):
                        memory[about.st_ino] = about.st_blocks * 512
                    elif about.st_dev == device and stat.S_ISREG(about.st_mode):
                        disk[about.st_ino] = about.st_blocks * 512
    return sum(memory.values()), sum(disk.values())


def threads_of_user() -> int:
    """How many threads all processes of this process's user have."""
    count = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == os.getuid():
                count += process.num_threads()
    return count


def kill(root: int) -> None:
    """SIGKILL to `root` and every descendant there is at this moment."""
    for pid in members(root):
        with contextlib.suppress(*_GONE):
            os.kill(pid, signal.SIGKILL)


def _resident(pid: int) -> int:
    try:
        if _HAS_CHILDREN_FILES:
            return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
        return int(psutil.Process(pid).memory_info().rss)
    except (*_GONE, IndexError, psutil.Error):
        return 0


def _cpu_seconds(pid: int) -> float:
    try:
        if _HAS_CHILDREN_FILES:
            # Behind the name, which may hold anything: utime, stime, cutime and cstime are fields 14 to 17.
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return sum(map(int, fields[11:15])) / _TICKS
        return sum(psutil.Process(pid).cpu_times()[:4])
    except (*_GONE, psutil.Error):
        return 0.0


def _proportional(pid: int) -> int:
    with contextlib.suppress(*_GONE):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return _resident(pid)
