"""How well this machine can confine a program: found out once, by confining one that tries to get out."""

import contextlib
import functools
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from anchor.agent.sandbox import cgroup
from anchor.agent.sandbox.bubblewrap import options, wrap
from anchor.agent.sandbox.confinement import Cell, Confinement, Mount
from anchor.agent.sandbox.seccomp import native_filter

PROBE_SECONDS = 20
_HARDENED_SINCE = (0, 8)
"""The bubblewrap that can size a tmpfs and switch further user namespaces off."""
_INSTALL = "Install the package bubblewrap."
_UPGRADE = "Install bubblewrap 0.8 or newer."
_NAMESPACES = (
    "Allow unprivileged user namespaces: sysctl kernel.unprivileged_userns_clone=1 on Debian, an AppArmor profile for "
    "bwrap (or sysctl kernel.apparmor_restrict_unprivileged_userns=0) on Ubuntu; in a container, its seccomp profile."
)
_ORDINARY_USER = "Run the agent as an ordinary user, or let it write to a pids control group."
_REPORT = "Keep native out of the runtimes that this node offers, and tell the maintainers."


@functools.cache
def probe() -> Confinement:
    """Try the best confinement with a real program; asked once, since the answer holds until the agent restarts."""
    if sys.platform == "win32":
        return Confinement("none", "native tasks need Linux or macOS in this version")
    if sys.platform != "linux":
        return Confinement("process", "bubblewrap confinement needs Linux")
    groups = cgroup.parents()
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        found = Confinement("process", "bubblewrap is not installed", fix=_INSTALL)
    else:
        found = try_bubblewrap(bwrap)
    if "pids" not in groups and os.geteuid() == 0 and found.level == "confined":
        why = "as root without a writable pids control group nothing bounds a task's processes"
        found = msgspec.structs.replace(found, level="process", why=why, fix=_ORDINARY_USER)
    return msgspec.structs.replace(found, cgroup=groups)


def try_bubblewrap(bwrap: str) -> Confinement:
    """`confined` if this bubblewrap starts a program here that then cannot get out, else `process` with what was
    found."""
    try:
        asked = subprocess.run([bwrap, "--version"], capture_output=True, text=True, timeout=PROBE_SECONDS)
        numbers = tuple(int(part) for part in re.findall(r"\d+", asked.stdout)[:2])
        full = Confinement("confined", "", bwrap, hardened=numbers >= _HARDENED_SINCE)
        with _things_to_reach() as where:
            tried = _confined_escapes(full, where)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Confinement("process", f"bubblewrap does not run here: {error}", fix=_INSTALL)
    if tried.returncode != 0:
        said = (tried.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("bwrap: ")
        return Confinement("process", f"bubblewrap does not work here ({said})", bwrap, fix=_NAMESPACES)
    try:
        escaped = msgspec.json.decode(tried.stdout, type=list[str])
    except msgspec.MsgspecError:
        return Confinement("process", "the self-test of the confinement gave no answer", bwrap, fix=_REPORT)
    if escaped:
        why = f"a program confined by bubblewrap is not held: {', '.join(escaped)}"
        return Confinement("process", why, bwrap, fix=_REPORT if full.hardened else _UPGRADE)
    return full


def _confined_escapes(full: Confinement, where: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    prefix, script = Path(sys.base_prefix).resolve(), Path(__file__).with_name("escapes.py")
    program = Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()
    mounts = (Mount(prefix, "/anchor/python"), Mount(script, "/anchor/run/escapes.py"))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as calls:
        cell = Cell(directory=Mount(Path(folder), "/job", writable=True), mounts=mounts, memory_mib=256)
        passed = native_filter()
        calls.write(passed or b"")
        calls.seek(0)
        env = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": "/anchor/python/lib"}
        told = options(full, cell, env, filter_fd=calls.fileno() if passed else None)
        inside = f"/anchor/python/{program.relative_to(prefix)}"
        command = wrap(full, cell, [inside, "-I", "-S", mounts[1].inside, json.dumps(where)], told)
        return subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_SECONDS, cwd="/", pass_fds=(calls.fileno(),)
        )


@contextlib.contextmanager
def _things_to_reach() -> Iterator[dict[str, Any]]:
    """What a confined program must not reach: listeners of this process, a file, and this process itself."""
    name = f"anchor-self-test-{secrets.token_hex(8)}"
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as abstract,
        tempfile.NamedTemporaryFile() as secret,
    ):
        abstract.bind(f"\0{name}")
        abstract.listen()
        yield {"agent": os.getpid(), "port": listener.getsockname()[1], "name": name, "secret": secret.name}
