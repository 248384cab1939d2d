"""Tries to get out of the cell it is started in; a script of its own, run once at the agent's start.

usage: escapes.py WHERE   WHERE is JSON: {agent: pid, port: of a listener on loopback, name: of an abstract socket,
secret: a file of the agent's user}. It prints what succeeded as a JSON list of words.
"""

import ctypes
import json
import os
import platform
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

_CLONE_NEWUSER = 0x10000000
_PTRACE_TRACEME = 0
_KEYRING_ID, _SESSION_KEYRING = 0, -3
_NUMBERS = {"x86_64": {"keyctl": 250, "io_uring_setup": 425}, "aarch64": {"keyctl": 219, "io_uring_setup": 425}}
_SYSTEM = ("/", "/usr", "/usr/bin", "/etc", "/dev", "/proc/sys/kernel", "/sys")
_SECRETS = ("/etc/shadow", "/etc/machine-id", "/root", "/home", "/run", "/var", "/sys/kernel", "/boot")
_SETTINGS = ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity")
_SECONDS = 2.0

libc = ctypes.CDLL(None, use_errno=True)


def main(where: "dict[str, Any]") -> list[str]:
    """The words for every attempt that was not stopped."""
    attempts: list[tuple[str, Callable[[], bool]]] = [
        ("it reaches the machine's network", lambda: _connects(socket.AF_INET, ("127.0.0.1", where["port"]))),
        ("it reaches other programs' sockets", lambda: _connects(socket.AF_UNIX, "\0" + where["name"])),
        ("it sees network interfaces", lambda: any(name != "lo" for _, name in socket.if_nameindex())),
        ("it reads the agent's files", lambda: _reads(where["secret"])),
        ("it sees the machine's files", lambda: any(os.path.exists(path) for path in _SECRETS)),
        ("it changes the system", lambda: any(map(_writes, _SYSTEM))),
        ("it changes the kernel's settings", lambda: any(map(_opens_to_write, _SETTINGS))),
        ("it signals other processes", lambda: _signals(where["agent"])),
        ("it sees other processes", lambda: len(list(_processes())) > len([os.getpid(), os.getppid()])),
        ("it mounts", _mounts),
        ("it makes user namespaces", lambda: libc.unshare(_CLONE_NEWUSER) == 0),
        ("it traces processes", lambda: libc.ptrace(_PTRACE_TRACEME, 0, None, None) == 0),
        ("it uses the kernel's keys", lambda: _calls("keyctl", _KEYRING_ID, _SESSION_KEYRING, 0)),
        ("it uses io_uring", lambda: _calls("io_uring_setup", 1, ctypes.create_string_buffer(256))),
    ]
    return [words for words, attempt in attempts if _succeeds(attempt)]


def _succeeds(attempt: Callable[[], bool]) -> bool:
    try:
        return attempt()
    except OSError:
        return False


def _connects(family: int, address: Any) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as line:
        line.settimeout(_SECONDS)
        line.connect(address)
    return True


def _reads(path: str) -> bool:
    with open(path, "rb"):
        return True


def _writes(folder: str) -> bool:
    path = os.path.join(folder, "anchor-self-test")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError:
        return False
    os.unlink(path)
    return True


def _opens_to_write(file: str) -> bool:
    """Whether it could write; it does not."""
    try:
        os.close(os.open(file, os.O_WRONLY))
    except OSError:
        return False
    return True


def _mounts() -> bool:
    """On a folder of its own, and undone at once: should nothing hold it, nobody is harmed."""
    folder = tempfile.mkdtemp(dir=".")
    try:
        if libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, None) != 0:
            return False
        libc.umount2(os.fsencode(folder), 0)
        return True
    finally:
        os.rmdir(folder)


def _signals(pid: int) -> bool:
    """Whether the agent's pid means something here. In a pid namespace of its own the numbers begin anew."""
    os.kill(pid, signal.SIG_DFL)
    return pid not in (os.getpid(), os.getppid())


def _processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _calls(name: str, *arguments: Any) -> bool:
    number = _NUMBERS.get(platform.machine(), {}).get(name)
    return number is not None and libc.syscall(number, *arguments) >= 0


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))))
