"""A control group per program that bounds its processes: the one such limit the kernel also applies to root."""

import contextlib
import itertools
import os
from pathlib import Path

from anchor.agent.sandbox.confinement import PROCESSES_MAX

_ROOT = Path("/sys/fs/cgroup")
_numbers = itertools.count(1)


def parent() -> str:
    """The folder under which this process may make groups with a limit on processes; empty if there is none."""
    for folder in (_version_2(), _version_1()):
        if folder is None:
            continue
        try:
            _remove(create(str(folder)))
        except OSError:
            continue  # not ours to write to; an ordinary user's agent has RLIMIT_NPROC instead
        return str(folder)
    return ""


def _version_2() -> Path | None:
    control = _ROOT / "cgroup.subtree_control"
    return _ROOT if control.exists() and "pids" in control.read_text().split() else None


def _version_1() -> Path | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "pids" in controllers.split(","):
                return _ROOT / "pids" / path.lstrip("/")
    return None


def create(folder: str) -> Path:
    """A new empty group with the limit set."""
    group = Path(folder) / f"anchor-{os.getpid()}-{next(_numbers)}"
    group.mkdir()
    try:
        (group / "pids.max").write_text(str(PROCESSES_MAX))
    except OSError:
        group.rmdir()
        raise
    return group


def joining(group: Path, argv: list[str]) -> list[str]:
    """The command that enters the group before it becomes `argv`, so that no process of it is ever outside."""
    return ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs"), *argv]


def removed(group: Path) -> bool:
    """Remove a group whose processes have ended; False while the kernel still holds one of them."""
    try:
        _remove(group)
    except OSError:
        return False
    return True


def sweep(folder: str) -> None:
    """Remove the groups of agents that were killed."""
    for group in Path(folder).glob("anchor-*-*"):
        pid = group.name.split("-")[1]
        if not Path(f"/proc/{pid}").exists():
            removed(group)


def _remove(group: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        group.rmdir()
