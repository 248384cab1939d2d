"""A Windows job object for a program and all it starts: bounded memory and processes, and an end that nothing survives.

Written from Microsoft's documentation and never run on Windows; docs/other-systems.md says what that means.
"""

import ctypes
import sys
from typing import Final

from anchor.agent.sandbox.confinement import PROCESSES_MAX

MIB: Final = 1024 * 1024

LIMIT_ACTIVE_PROCESS: Final = 0x0008
LIMIT_JOB_MEMORY: Final = 0x0200
LIMIT_DIE_ON_UNHANDLED_EXCEPTION: Final = 0x0400
LIMIT_KILL_ON_JOB_CLOSE: Final = 0x2000
UI_ALL: Final = 0x00FF
"""No desktops, clipboard, display settings, global atoms, foreign handles, system parameters, and no shutting down."""
CREATION_FLAGS: Final = 0x0004 | 0x08000000
"""For subprocess.Popen: suspended, and without a console window."""
_EXTENDED_LIMITS, _UI_RESTRICTIONS = 9, 4


class BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = (
        ("per_process_user_time_limit", ctypes.c_int64),
        ("per_job_user_time_limit", ctypes.c_int64),
        ("limit_flags", ctypes.c_uint32),
        ("minimum_working_set_size", ctypes.c_size_t),
        ("maximum_working_set_size", ctypes.c_size_t),
        ("active_process_limit", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority_class", ctypes.c_uint32),
        ("scheduling_class", ctypes.c_uint32),
    )


class IoCounters(ctypes.Structure):
    """IO_COUNTERS."""

    _fields_ = tuple(
        (f"{kind}_{what}_count", ctypes.c_uint64)
        for what in ("operation", "transfer")
        for kind in ("read", "write", "other")
    )


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("basic", BasicLimits),
        ("io", IoCounters),
        ("process_memory_limit", ctypes.c_size_t),
        ("job_memory_limit", ctypes.c_size_t),
        ("peak_process_memory_used", ctypes.c_size_t),
        ("peak_job_memory_used", ctypes.c_size_t),
    )


def limits_of(memory_mib: int | None) -> ExtendedLimits:
    """What a job may use in all; None bounds its end and its processes only."""
    limits = ExtendedLimits()
    flags = LIMIT_ACTIVE_PROCESS | LIMIT_DIE_ON_UNHANDLED_EXCEPTION | LIMIT_KILL_ON_JOB_CLOSE
    if memory_mib is not None:
        flags |= LIMIT_JOB_MEMORY
        limits.job_memory_limit = memory_mib * MIB
    limits.basic.limit_flags = flags
    limits.basic.active_process_limit = PROCESSES_MAX
    return limits


if sys.platform == "win32":
    from ctypes import wintypes

    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel.CreateJobObjectW.restype = wintypes.HANDLE
    _kernel.CreateJobObjectW.argtypes = (ctypes.c_void_p, wintypes.LPCWSTR)
    _kernel.SetInformationJobObject.argtypes = (wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD)
    _kernel.QueryInformationJobObject.argtypes = (
        *(wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD),
        ctypes.c_void_p,
    )
    _kernel.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
    _kernel.TerminateJobObject.argtypes = (wintypes.HANDLE, wintypes.UINT)
    _kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
    _ntdll = ctypes.WinDLL("ntdll")
    _ntdll.NtResumeProcess.argtypes = (wintypes.HANDLE,)

    class JobObject:
        """A job for one program. Start the program with CREATION_FLAGS and let the job `take` its process: so no child
        of it can be outside. Closing the job, or the agent's own death, ends every process in it.

        Every method raises OSError with what Windows said.
        """

        def __init__(self, memory_mib: int | None) -> None:
            self._handle = _kernel.CreateJobObjectW(None, None)
            if not self._handle:
                raise ctypes.WinError(ctypes.get_last_error())
            limits, no_ui = limits_of(memory_mib), ctypes.c_uint32(UI_ALL)
            self._tell(_EXTENDED_LIMITS, limits)
            self._tell(_UI_RESTRICTIONS, no_ui)

        def take(self, process_handle: int) -> None:
            """Put a suspended process into the job and let it run."""
            _check(_kernel.AssignProcessToJobObject(self._handle, process_handle))
            # Popen keeps no handle of the first thread, which ResumeThread would want.
            if _ntdll.NtResumeProcess(process_handle):
                raise OSError("the process could not be resumed")

        def peak_memory_mib(self) -> float:
            """The most memory that the job's processes had committed at once."""
            limits = ExtendedLimits()
            size = ctypes.sizeof(limits)
            _check(_kernel.QueryInformationJobObject(self._handle, _EXTENDED_LIMITS, ctypes.byref(limits), size, None))
            return float(limits.peak_job_memory_used) / MIB

        def end(self, code: int = 1) -> None:
            """Kill everything in the job and give it up."""
            _kernel.TerminateJobObject(self._handle, code)
            _kernel.CloseHandle(self._handle)

        def _tell(self, kind: int, value: ctypes.Structure | ctypes.c_uint32) -> None:
            size = ctypes.sizeof(value)
            _check(_kernel.SetInformationJobObject(self._handle, kind, ctypes.byref(value), size))

    def _check(answer: int) -> None:
        if not answer:
            raise ctypes.WinError(ctypes.get_last_error())
