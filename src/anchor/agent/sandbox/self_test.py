"""All that a confined process must not be able to do, tried by one: what succeeds is what the confinement lacks."""

import contextlib
import ctypes
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

_SEIZE, _DETACH = 0x4206, 17
_NEW_USER_AND_MOUNTS: Final = 0x10020000
_CONNECT_SECONDS: Final = 1.0


def succeeded(agent: int, port: int, files: list[str], folder: str) -> list[str]:
    """What this process could do of: connecting to `port` on loopback, reading `files`, writing in `folder`, seeing,
    signalling and tracing the process `agent` and its own parent, starting processes, making namespaces.

    The process should end afterwards. If it can execute programs it ends here, with what `/bin/false` returns.
    """
    done = [what for what, attempt in _attempts(agent, port, files, folder) if _works(attempt)]
    with contextlib.suppress(OSError):
        os.execv("/bin/false", ["false"])
    return done


def _attempts(agent: int, port: int, files: list[str], folder: str) -> Iterator[tuple[str, Callable[[], object]]]:
    libc = ctypes.CDLL(None, use_errno=True)
    yield "reach the network", lambda: socket.create_connection(("127.0.0.1", port), _CONNECT_SECONDS).close()
    for file in files:
        yield f"read {file}", partial(_read, file)
    yield "see other processes", lambda: os.listdir("/proc")
    yield "read the agent's memory", partial(_read, f"/proc/{agent}/mem")
    yield "write outside of its place", lambda: _write(Path(folder) / f"anchor-self-test-{os.getpid()}")
    for name, pid in (("the agent", agent), ("its parent", os.getppid())):
        # A process outside of this one's namespaces can be called 0, which would mean this one's own group.
        if pid:
            yield f"signal {name}", partial(os.kill, pid, 0)
            yield f"trace {name}", partial(_trace, libc, pid)
    yield "make namespaces", lambda: _checked(libc.unshare(_NEW_USER_AND_MOUNTS))
    yield "start a process", _fork


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


def _read(file: str) -> None:
    with open(file, "rb") as opened:
        opened.read(1)


def _write(file: Path) -> None:
    file.write_bytes(b"")
    file.unlink()


def _trace(libc: ctypes.CDLL, pid: int) -> None:
    _checked(libc.ptrace(_SEIZE, pid, None, None))
    libc.ptrace(_DETACH, pid, None, None)


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _checked(answer: int) -> None:
    if answer != 0:
        raise OSError(ctypes.get_errno(), "refused")
