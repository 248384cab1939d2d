"""Namespaces of a process's own: no network, nobody else's shared memory, no power over the machine's names."""

import ctypes
import os
import platform
import struct
from typing import Final

_NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_NET = 0x04000000, 0x08000000, 0x10000000, 0x40000000
_CAPSET: Final = {"x86_64": 126, "aarch64": 91}
_CAPABILITIES_VERSION: Final = 0x20080522
_SET_NO_NEW_PRIVS: Final = 38
_DROP_BOUNDING: Final = 24
_CAPABILITIES_MAX: Final = 64


def leave() -> None:
    """Move this single-threaded process into user, network, IPC and UTS namespaces of its own. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_USER | _NEW_NET | _NEW_IPC | _NEW_UTS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"namespaces were refused: {os.strerror(number)}")


def drop_capabilities() -> None:
    """Give up every power beyond those of an ordinary user, root's own too, of the calling thread. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_CAPABILITIES_MAX):
        # Refused to an ordinary user, who has none to give up, and for numbers that this kernel does not know.
        libc.prctl(_DROP_BOUNDING, capability, 0, 0, 0)
    number = _CAPSET.get(platform.machine())
    if number is None:
        raise OSError(f"capabilities cannot be dropped on {platform.machine()}")
    head = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    if libc.syscall(number, head, struct.pack("=6I", *[0] * 6)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"dropping capabilities was refused: {os.strerror(error)}")


def forbid_privileges() -> None:
    """No program that this process or its children execute can gain privileges. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs was refused")
