"""The first process of an app's cell: starts the app, and opens connections to it for the agent, from inside.

usage: inlet.py SOCKET PORT PROGRAM [ARG...]

SOCKET is the number of a socket to the agent. It asks with single bytes: CONNECT is answered with the number of an
error (0: none) and, by SCM_RIGHTS, a TCP socket that is connected, or about to be, to PORT on the cell's own loopback;
END sends SIGTERM to every process of the app and is not answered. The app does not inherit SOCKET. Its variables are
those whose names begin with APPS here, without that: an LD_PRELOAD of the app's would run in this program, too. It
exits with the app's code, or 128 + the signal that ended it, and ends when the agent does.

It runs as a script of its own, beside foreign code that may do to it what it likes: then that code is not reached.
"""

import contextlib
import errno
import os
import signal
import socket
import sys
from types import FrameType
from typing import Final, NoReturn

CONNECT: Final = b"c"
END: Final = b"e"
APPS: Final = "ANCHOR_APPS_"
_LOOPBACKS: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_IGNORED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What an app may send to every process it sees."""


def main(argv: list[str]) -> NoReturn:
    """Start the app and serve the agent until one of the two ends."""
    asked = socket.socket(fileno=int(argv[0]))
    port, command = int(argv[1]), argv[2:]

    def look(_: int, __: FrameType | None) -> None:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    signal.signal(signal.SIGCHLD, look)
    child = os.fork()
    if child == 0:
        asked.close()
        _become(command)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    while message := asked.recv(1):
        if message == END:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGTERM)
        else:
            _answer(asked, port)
    os._exit(128 + signal.SIGKILL)


def _become(command: list[str]) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Python ignores these for itself, and whoever is started would go on with that.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    environment = {name.removeprefix(APPS): value for name, value in os.environ.items() if name.startswith(APPS)}
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _answer(asked: socket.socket, port: int) -> None:
    connected, error = _connected(port)
    if connected is None:
        asked.send(bytes([error]))
        return
    with connected:
        socket.send_fds(asked, [b"\0"], [connected.fileno()])


def _connected(port: int) -> tuple[socket.socket | None, int]:
    """A socket, or the number of the error. It does not wait: loopback answers at once, and where an app's queue is
    full it is the agent that waits."""
    error = errno.ECONNREFUSED
    for family, address in _LOOPBACKS:
        try:
            opened = socket.socket(family, socket.SOCK_STREAM)
        except OSError as failure:
            error = failure.errno or error
            continue
        opened.setblocking(False)
        answer = opened.connect_ex((address, port))
        if answer in (0, errno.EINPROGRESS):
            return opened, 0
        opened.close()
        if family == socket.AF_INET:
            error = answer
    return None, error if error < 256 else errno.EIO


if __name__ == "__main__":
    main(sys.argv[1:])
