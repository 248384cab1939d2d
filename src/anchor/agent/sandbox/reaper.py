"""Runs one program and ends whatever it leaves behind; a script of its own, for machines without bubblewrap.

usage: reaper.py LIMITS AGENT_PID PROGRAM [ARG...]   LIMITS is JSON: {"RLIMIT_CORE": 0, ...}

As a subreaper (Linux) it inherits every orphan of the program, so daemons are found too. It exits with the program's
code, or 128 + the signal that ended it. SIGTERM, or the agent's death, ends everything.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_WATCHED = (signal.SIGTERM, signal.SIGCHLD)


def main(argv: list[str]) -> int:
    """Run the program to its end and then everything it started."""
    limits, agent, command = json.loads(argv[0]), int(argv[1]), argv[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("800")
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != agent:
            return 128 + signal.SIGTERM
    child = os.fork()
    if child == 0:
        _become(command, limits)
    code = _wait_for(child)
    _end_the_rest(child)
    return code


def _become(command: list[str], limits: dict[str, int]) -> NoReturn:
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (most, most))
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _wait_for(child: int) -> int:
    while signal.sigwait(_WATCHED) != signal.SIGTERM:
        pid = 1
        while pid:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
    return 128 + signal.SIGTERM


def _end_the_rest(child: int) -> None:
    while True:
        # The children of a killed child become ours in turn, so this reaches every generation.
        for pid in _children():
            _kill(pid)
        if sys.platform != "linux":
            _kill(-child)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _children() -> list[int]:
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in listing.read_text().split()] if listing.exists() else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
