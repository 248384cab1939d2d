"""The resource limits of a worker process, and what it measures of itself."""

import contextlib
import ctypes
import os
import signal
import sys
from typing import Final

MIB: Final = 1024 * 1024
FILES_OPEN_MAX: Final = 64
THREADS_MAX: Final = 1024
"""More than engines start on any machine, few enough to do no harm."""
OOM_SCORE: Final = 800
_PR_SET_PDEATHSIG: Final = 1
_LINUX: Final = sys.platform == "linux"
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

if sys.platform != "win32":
    import resource


def be_first_to_go() -> None:
    """Leave no core file, and be the first to go when the machine's memory is short."""
    if sys.platform == "win32":
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A container may forbid it; the limit on memory does not depend on it.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(str(OOM_SCORE))


def die_with(parent: int) -> None:
    """Be killed when the process with this id ends; at once, if it has. Raises OSError."""
    if not _LINUX:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the parent-death signal was refused")
    if os.getppid() != parent:
        os._exit(0)


def close_doors() -> None:
    """Limit open files, once every library is loaded."""
    if sys.platform != "win32":
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_OPEN_MAX, FILES_OPEN_MAX))


def limit_threads() -> None:
    """Let this process have no more than THREADS_MAX threads. It counts for a process in a user namespace of its own:
    elsewhere all that the user runs counts; root is not held by it."""
    if sys.platform != "win32":
        resource.setrlimit(resource.RLIMIT_NPROC, (THREADS_MAX, THREADS_MAX))


def limit_data(size_bytes: int | None) -> None:
    """Let this process map at most `size_bytes` of writable memory of its own; None lifts the limit again."""
    if sys.platform != "win32":
        _limit(resource.RLIMIT_DATA, size_bytes)


def limit_files(size_bytes: int | None) -> None:
    """Let no file that this process writes grow beyond `size_bytes`; None lifts the limit again."""
    if sys.platform != "win32":
        _limit(resource.RLIMIT_FSIZE, size_bytes)


if sys.platform != "win32":

    def _limit(kind: int, size_bytes: int | None) -> None:
        hard = resource.getrlimit(kind)[1]
        soft = resource.RLIM_INFINITY if size_bytes is None else size_bytes
        if hard != resource.RLIM_INFINITY:
            soft = hard if size_bytes is None else min(size_bytes, hard)
        resource.setrlimit(kind, (soft, hard))


class Gauge:
    """What this process uses, by files of /proc that are opened now: later they may be out of reach."""

    def __init__(self) -> None:
        self._statm = self._peaks = -1
        if _LINUX:
            self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
            # Kernels built without it go on reporting the highest peak ever: too much, but never too little.
            with contextlib.suppress(OSError):
                self._peaks = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)

    def data_bytes(self) -> int:
        """Writable memory that this process has mapped; 0 where the system does not say."""
        return self._pages(5)

    def resident_bytes(self) -> int:
        """Memory of this process that is in RAM; 0 where the system does not say."""
        return self._pages(1)

    def peak_bytes(self) -> int:
        """The most that was resident since `forget_peak`; 0 where the system does not say."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 if _LINUX else 0

    def forget_peak(self) -> None:
        """Begin a new measurement of `peak_bytes`."""
        if self._peaks >= 0:
            os.pwrite(self._peaks, b"5", 0)

    def _pages(self, field: int) -> int:
        if self._statm < 0:
            return 0
        return int(os.pread(self._statm, 256, 0).split()[field]) * _PAGE_BYTES
