"""Control groups: the kernel's own bounds on a program's processes, memory and time, and its count of what they use.

One group of version 2, or one of version 1 for each controller there is. The limit on processes is the one such limit
that the kernel also applies to root.
"""

import contextlib
import errno
import itertools
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from anchor.agent.sandbox.confinement import PROCESSES_MAX

_ROOT = Path("/sys/fs/cgroup")
_CONTROLLERS = ("pids", "memory", "cpuacct", "cpu")
_AGENTS = "anchor-agent"
"""The group of version 2 into which the agent itself moves: one with members cannot have groups with limits below."""
_MEMORY_SPARE_MIB = 32
"""What the kernel's limit lies above the task's: page tables and the like are charged to it as well."""
_MIB = 1024 * 1024
_PERIOD_MICROSECONDS = 100_000
_numbers = itertools.count(1)


class Group:
    """The group of one program, made empty, with its limits set. `memory_mib` 0 means no limit on memory, and without
    `cores` processor time is not bound."""

    def __init__(self, folders: Mapping[str, str], memory_mib: int = 0, cores: float | None = None) -> None:
        name = f"anchor-{os.getpid()}-{next(_numbers)}"
        self._by_controller = {
            controller: Path(folder) / name
            for controller, folder in folders.items()
            if controller != "cpu" or cores is not None
        }
        self._folders = list(dict.fromkeys(self._by_controller.values()))
        try:
            for folder in self._folders:
                folder.mkdir()
            self._bound(memory_mib)
            if cores is not None and "cpu" in self._by_controller:
                _bound_time(self._by_controller["cpu"], cores)
        except OSError:
            self.removed()
            raise

    def _bound(self, memory_mib: int) -> None:
        if pids := self._by_controller.get("pids"):
            (pids / "pids.max").write_text(str(PROCESSES_MAX))
        memory = self._by_controller.get("memory")
        if memory is None or not memory_mib:
            return
        most = str((memory_mib + _MEMORY_SPARE_MIB) * _MIB)
        if (memory / "memory.max").exists():
            (memory / "memory.max").write_text(most)
            swap, swap_most = memory / "memory.swap.max", "0"
            (memory / "memory.oom.group").write_text("1")
        else:
            (memory / "memory.limit_in_bytes").write_text(most)
            swap, swap_most = memory / "memory.memsw.limit_in_bytes", most
        if swap.exists():
            swap.write_text(swap_most)

    @property
    def measures_memory(self) -> bool:
        """Whether `memory_mib` knows."""
        return "memory" in self._by_controller

    @property
    def measures_cpu(self) -> bool:
        """Whether `cpu_seconds` knows."""
        return "cpuacct" in self._by_controller

    def memory_mib(self) -> float:
        """What its processes and their shared memory hold, files cached for them left out."""
        counted = _pairs(self._by_controller["memory"] / "memory.stat")
        own = counted.get("total_rss", counted.get("anon", 0))
        return (own + counted.get("total_shmem", counted.get("shmem", 0))) / _MIB

    def cpu_seconds(self) -> float:
        """The processor time of all that ever ran in it."""
        folder = self._by_controller["cpuacct"]
        with contextlib.suppress(OSError):
            return int((folder / "cpuacct.usage").read_bytes()) / 1e9
        return _pairs(folder / "cpu.stat").get("usage_usec", 0) / 1e6

    def memory_kills(self) -> int:
        """How many of its processes the kernel has killed at the limit on memory."""
        folder = self._by_controller.get("memory")
        if folder is None:
            return 0
        return next((kills for name in _OOM if (kills := _pairs(folder / name).get("oom_kill")) is not None), 0)

    def refused_processes(self) -> int:
        """How often the kernel has refused a further process."""
        folder = self._by_controller.get("pids")
        return _pairs(folder / "pids.events").get("max", 0) if folder is not None else 0

    def joining(self, argv: list[str]) -> list[str]:
        """The command that enters the group before it becomes `argv`, so that no process of it is ever outside."""
        files = [str(folder / "cgroup.procs") for folder in self._folders]
        enter = "; ".join(f'echo $$ > "${{{at}}}" || exit 125' for at in range(1, len(files) + 1))
        return ["/bin/sh", "-c", f'{enter}; shift {len(files)}; exec "$@"', "sh", *files, *argv]

    def kill(self) -> None:
        """SIGKILL to every process in it."""
        for pid in _members(self._folders[0]):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def removed(self) -> bool:
        """Remove the group once its processes have ended; False while the kernel still holds one of them."""
        self._folders = [folder for folder in self._folders if not _removed(folder)]
        return not self._folders


_OOM = ("memory.events", "memory.oom_control")


def _bound_time(group: Path, cores: float) -> None:
    microseconds = max(round(cores * _PERIOD_MICROSECONDS), 1000)
    try:
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_MICROSECONDS))
            (group / "cpu.cfs_quota_us").write_text(str(microseconds))
        else:
            (group / "cpu.max").write_text(f"{microseconds} {_PERIOD_MICROSECONDS}")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # Version 1 refuses more than the group above has: then that one is the bound.


def parents() -> dict[str, str]:
    """The folders under which this process may make groups with limits, by controller; empty if there are none."""
    found: dict[str, str] = {}
    for controller, folder in (_version_1() or _version_2()).items():
        try:
            tried = Group({controller: str(folder)}, 64, 1.0)
        except OSError:
            continue  # not ours to write to; an ordinary user's agent has RLIMIT_NPROC and the watcher instead
        tried.removed()
        found[controller] = str(folder)
    return found


def _own() -> dict[str, str]:
    with contextlib.suppress(OSError):
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        return {name: path.lstrip("/") for _, names, path in lines for name in names.split(",")}
    return {}


def _version_1() -> dict[str, Path]:
    own = _own()
    return {name: _ROOT / name / own[name] for name in _CONTROLLERS if name in own and (_ROOT / name).is_dir()}


def _version_2() -> dict[str, Path]:
    """The agent's own group, if it was handed over to its user (systemd's Delegate=yes) and holds nobody else."""
    own = _own().get("")
    if own is None or not (_ROOT / "cgroup.controllers").exists():
        return {}
    folder = _ROOT / own
    if folder.name == _AGENTS:
        folder = folder.parent  # as an earlier call in this process has left it
    elif folder != _ROOT:
        with contextlib.suppress(OSError):
            if _members(folder) != [os.getpid()]:
                return {}
            (folder / _AGENTS).mkdir(exist_ok=True)
            (folder / _AGENTS / "cgroup.procs").write_text(str(os.getpid()))
    found = {"cpuacct": folder}
    for name in ("pids", "memory"):
        with contextlib.suppress(OSError):
            (folder / "cgroup.subtree_control").write_text(f"+{name}")
            found[name] = folder
    if len(found) == 1:
        return {}
    with contextlib.suppress(OSError):
        (folder / "cgroup.subtree_control").write_text("+cpu")
        found["cpu"] = folder
    return found


def sweep(folders: Mapping[str, str]) -> None:
    """Remove the groups of agents that were killed, and what may still run in them."""
    for folder in set(folders.values()):
        for group in Path(folder).glob("anchor-*-*"):
            pid = group.name.split("-")[1]
            if pid.isdigit() and not Path(f"/proc/{pid}").exists():
                for left in _members(group):
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(left, signal.SIGKILL)
                _removed(group)


def _members(folder: Path) -> list[int]:
    with contextlib.suppress(OSError):
        # 0 stands for a process of another pid namespace: to signal it would mean our own process group.
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split() if pid != "0"]
    return []


def _pairs(file: Path) -> dict[str, int]:
    found = {}
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            name, _, value = line.partition(" ")
            if value.isdigit():
                found[name] = int(value)
    return found


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
