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
    or `nothing`. `group` is the control group made for it, `left` the one this process was in before."""

    by: Literal["quota", "affinity", "nothing"]
    cores: float
    group: str = ""
    left: str = ""


@contextlib.contextmanager
def held(cores: float | None) -> Iterator[Held | None]:
    """Bound this process and whatever it starts for the length of the context; None bounds nothing."""
    if cores is None:
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
    allowed = psutil.cpu_count() or 1
    if cores >= allowed:
        return Held("nothing", allowed)
    if sys.platform != "win32":
        os.nice(max(0, NICENESS - os.nice(0)))
    for parent, own in _places():
        with contextlib.suppress(OSError):  # not ours to write to
            return _quota(parent, own, cores)
    whole = math.ceil(cores)
    try:
        mine = psutil.Process().cpu_affinity()
        psutil.Process().cpu_affinity(mine[-whole:])
    except (AttributeError, OSError, psutil.Error):
        return Held("nothing", allowed)  # macOS has no such call
    return Held("affinity", whole)


def _let_go(held: Held) -> None:
    """Leave the control group and remove it, where this process made one and nothing else is left in it."""
    if held.group:
        with contextlib.suppress(OSError):
            (Path(held.left) / "cgroup.procs").write_text(str(os.getpid()))
            Path(held.group).rmdir()


def _places() -> list[tuple[Path, Path]]:
    """Folders under which this process might make a group with a quota, the best first; with the one it is in now."""
    if sys.platform != "linux":
        return []
    found: list[tuple[Path, Path]] = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if "cpu" in controllers.split(","):
                own = _ROOT / "cpu" / path.lstrip("/")
                found.insert(0, (own, own))
            elif not controllers:
                own = _ROOT / path.lstrip("/")
                found += [(parent, own) for parent in (own.parent, own) if parent.is_relative_to(_ROOT)]
    return found


def _quota(parent: Path, own: Path, cores: float) -> Held:
    """Go from the group `own` to a new one of `parent` that gets `cores` of processor time. Raises OSError where that
    is not allowed."""
    for left in parent.glob(f"{_PREFIX}*"):
        if not Path(f"/proc/{left.name.removeprefix(_PREFIX)}").exists():
            with contextlib.suppress(OSError):
                left.rmdir()
    group = parent / f"{_PREFIX}{os.getpid()}"
    group.mkdir()
    microseconds = round(cores * _PERIOD_MICROSECONDS)
    try:
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_MICROSECONDS))
            (group / "cpu.cfs_quota_us").write_text(str(microseconds))
        else:
            (group / "cpu.max").write_text(f"{microseconds} {_PERIOD_MICROSECONDS}")
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        group.rmdir()
        raise
    return Held("quota", cores, str(group), str(own))
