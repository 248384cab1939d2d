"""The owner's share of the processor: the agent and all that it starts get so many cores, and no more."""

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
import psutil

_ROOT: Final = Path("/sys/fs/cgroup")
_PERIOD_MICROSECONDS: Final = 100_000
_PREFIX: Final = "anchor-cpu-"
NICENESS: Final = 5
"""Of the agent and its tasks where the owner set a share: other programs of the machine come first."""


class Held(msgspec.Struct, frozen=True):
    """What holds the share: a `quota` of the kernel's (to a hundredth of a core), `affinity` to `cores` whole cores,
    or `nothing`. `group` is the control group made for it."""

    by: Literal["quota", "affinity", "nothing"]
    cores: float
    group: str = ""


@contextlib.contextmanager
def held(cores: float | None) -> Iterator[Held | None]:
    """Bound this process and whatever it starts for the length of the context; None, like all there are, bounds
    nothing."""
    if cores is None or cores >= (psutil.cpu_count() or 1):
        yield None
        return
    holding = hold(cores)
    try:
        yield holding
    finally:
        _let_go(holding)


def hold(cores: float) -> Held:
    """Bound this process and whatever it starts from now on; call it before there are other threads.

    A quota of a control group where one can be made, else affinity to whole cores (a part of one counts as one).
    """
    if sys.platform != "win32":
        os.nice(max(0, NICENESS - os.nice(0)))
    if (own := _own_group()) is not None:
        with contextlib.suppress(OSError):  # not ours to write to
            return _quota(own, cores)
    whole = math.ceil(cores)
    try:
        mine = psutil.Process().cpu_affinity()
        psutil.Process().cpu_affinity(mine[-whole:])
    except (AttributeError, OSError, psutil.Error):
        return Held("nothing", psutil.cpu_count() or 1)  # macOS has no such call
    return Held("affinity", whole)


def _let_go(held: Held) -> None:
    """Leave the control group and remove it. One of version 2 stays in its scope, which the system clears away."""
    if held.group:
        with contextlib.suppress(OSError):
            (Path(held.group).parent / "cgroup.procs").write_text(str(os.getpid()))
            Path(held.group).rmdir()


def _own_group() -> Path | None:
    """The control group this process is in: of version 1's cpu controller, else of version 2."""
    found: dict[str, Path] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            for name in controllers.split(","):
                found[name] = (_ROOT / "cpu" if name == "cpu" else _ROOT) / path.lstrip("/")
    return found.get("cpu", found.get(""))


def _quota(own: Path, cores: float) -> Held:
    """Go from the group `own` to a new one below it that gets `cores` of processor time. Raises OSError where that is
    not allowed."""
    for left in own.glob(f"{_PREFIX}*"):
        if not Path(f"/proc/{left.name.removeprefix(_PREFIX)}").exists():
            with contextlib.suppress(OSError):  # what a killed agent started may still be ending in it
                left.rmdir()
    group = own / f"{_PREFIX}{os.getpid()}"
    group.mkdir()
    microseconds = round(cores * _PERIOD_MICROSECONDS)
    try:
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_MICROSECONDS))
            (group / "cpu.cfs_quota_us").write_text(str(microseconds))
            (group / "cgroup.procs").write_text(str(os.getpid()))
        else:
            # In version 2 a group with members cannot have controllers for those below it: so we leave first.
            (group / "cgroup.procs").write_text(str(os.getpid()))
            for controller in ("cpu", "pids", "memory"):
                (own / "cgroup.subtree_control").write_text(f"+{controller}")
            (group / "cpu.max").write_text(f"{microseconds} {_PERIOD_MICROSECONDS}")
    except OSError:
        with contextlib.suppress(OSError):
            (own / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()
        raise
    return Held("quota", cores, str(group))
