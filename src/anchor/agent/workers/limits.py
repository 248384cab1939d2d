"""What a worker process takes away from itself before it runs foreign code, and what it measures of itself."""

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024
FILES_OPEN_MAX: Final = 64
OOM_SCORE: Final = 800
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_LINUX: Final = sys.platform == "linux"

if sys.platform != "win32":
    import resource


def bind_to(parent: int) -> None:
    """Die with the agent, gain no privileges, leave no core file, and be the first to go when memory is short."""
    if sys.platform == "win32":
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not _LINUX:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_PDEATHSIG, int(signal.SIGKILL)), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl({option}) was refused")
    if os.getppid() != parent:
        # The agent was gone before the line above could bind this process to it.
        os._exit(0)
    # A container may forbid it; the limit on memory does not depend on it.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


def close_doors() -> None:
    """Limit open files, once every library is loaded."""
    if sys.platform != "win32":
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_OPEN_MAX, FILES_OPEN_MAX))


def limit_data(size_bytes: int | None) -> None:
    """Let this process map at most `size_bytes` of writable memory of its own; None lifts the limit again."""
    if sys.platform != "win32":
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        soft = resource.RLIM_INFINITY if size_bytes is None else size_bytes
        if hard != resource.RLIM_INFINITY:
            soft = hard if size_bytes is None else min(size_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def data_bytes() -> int:
    """Writable memory that this process has mapped; 0 where the system does not say."""
    return _status("VmData")


def resident_bytes() -> int:
    """Memory of this process that is in RAM; 0 where the system does not say."""
    return _status("VmRSS")


def peak_bytes() -> int:
    """The most that was resident since `forget_peak`; 0 where the system does not say."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Begin a new measurement of `peak_bytes`."""
    if _LINUX:
        # Kernels built without it go on reporting the highest peak ever: too much, but never too little.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> int:
    if not _LINUX:
        return 0
    with open("/proc/self/status", "rb") as status:
        _, _, rest = status.read().partition(field.encode() + b":")
    return int(rest.split(maxsplit=1)[0]) * 1024
