"""How well this machine can confine a program: found out once, by confining one."""

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from anchor.agent.sandbox import cgroup
from anchor.agent.sandbox.bubblewrap import options, wrap
from anchor.agent.sandbox.confinement import Cell, Confinement, Mount

PROBE_SECONDS = 10
_HARDENED_SINCE = (0, 8)
"""The bubblewrap that can size a tmpfs and switch further user namespaces off."""


@functools.cache
def probe() -> Confinement:
    """Try the best confinement with a real program; asked once, since the answer holds until the agent restarts."""
    if sys.platform == "win32":
        return Confinement("none", "native tasks need Linux or macOS in this version")
    if sys.platform != "linux":
        return Confinement("process", "bubblewrap confinement needs Linux")
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        found = Confinement("process", "bubblewrap is not installed; install the package bubblewrap")
    else:
        found = try_bubblewrap(bwrap)
    group = cgroup.parent()
    if not group and os.geteuid() == 0:
        unbounded = "as root without a writable pids cgroup nothing bounds a task's processes; use an ordinary user"
        return msgspec.structs.replace(found, why="; ".join(filter(None, [found.why, unbounded])))
    return msgspec.structs.replace(found, cgroup=group)


def try_bubblewrap(bwrap: str) -> Confinement:
    """`confined` if this bubblewrap can start a program here, else `process` with what it said."""
    try:
        version = subprocess.run([bwrap, "--version"], capture_output=True, text=True, timeout=PROBE_SECONDS).stdout
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        full = Confinement("confined", "", bwrap, hardened=numbers >= _HARDENED_SINCE)
        cell = Cell(directory=Mount(Path("/usr"), "/job"), memory_mib=64)
        command = wrap(full, cell, ["true"], options(full, cell, {"PATH": "/usr/bin:/bin"}))
        tried = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, cwd="/")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Confinement("process", f"bubblewrap does not run here: {error}")
    if tried.returncode == 0:
        return full
    said = (tried.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("bwrap: ")
    return Confinement("process", f"bubblewrap does not work here ({said}); allow unprivileged user namespaces")
