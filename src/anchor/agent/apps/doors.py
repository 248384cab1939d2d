"""The ways to a web process: through the inlet into its cell, or, where it shares the machine's network, directly."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from anchor.agent.apps.inlet import APPS, CONNECT, END
from anchor.agent.apps.listening import listens
from anchor.agent.runtimes.native.installer import inside_name
from anchor.agent.runtimes.native.toolchains import python_toolchain
from anchor.agent.sandbox import tree
from anchor.agent.sandbox.confinement import Confinement, Mount

if sys.platform != "win32":
    import fcntl

CONNECT_SECONDS: Final = 5.0
"""How long an app's queue of connections may be full before it counts as one that does not answer."""
_SCRIPT: Final = Path(__file__).with_name("inlet.py")
_FDS_MAX: Final = 4
_FD_MIN: Final = 20
_ASKED_MAX: Final = 128
"""Connections asked for at once; the socket holds about twice as many messages."""


class Door(Protocol):
    """A way to one replica. `port` is what the app is told to listen on."""

    port: int
    mounts: tuple[Mount, ...]
    passed: tuple[int, ...]

    def starter(self) -> list[str]:
        """What starts the app's command, before it."""

    def environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """What that is started with, so that the app has the variables `own`."""

    async def connect(self, root: int) -> socket.socket:
        """A connected socket, not blocking, to the app whose tree has this root; OSError where it does not answer."""

    def ask_to_end(self, root: int) -> None:
        """SIGTERM to all of the app's processes."""

    def close(self) -> None:
        """Nobody goes through any more."""


class Inlet:
    """Through a socket pair to the first process of the cell, which has a network of its own."""

    def __init__(self, port: int, confinement: Confinement) -> None:
        self.port = port
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # The shells between us and the inlet use the numbers with one digit themselves.
            self._theirs = socket.socket(fileno=fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, _FD_MIN))
        self._ours.setblocking(False)
        self._waiting: deque[asyncio.Future[socket.socket]] = deque()
        self._turns = asyncio.Semaphore(_ASKED_MAX)
        tool = python_toolchain()
        base = Mount(tool.prefix, inside_name(tool.prefix, "/anchor/python"))
        script = Mount(_SCRIPT, inside_name(_SCRIPT, "/anchor/run/inlet.py"))
        root = base.seen(confinement)
        self.mounts: tuple[Mount, ...] = (base, script)
        self.passed: tuple[int, ...] = (self._theirs.fileno(),)
        self._env: dict[str, str] = {"LD_LIBRARY_PATH": f"{root}/lib"} if tool.has_shared_library else {}
        program = f"{root}/{tool.program.relative_to(tool.prefix)}"
        self._starter = [program, "-I", "-S", script.seen(confinement), str(self._theirs.fileno()), str(port)]
        asyncio.get_running_loop().add_reader(self._ours.fileno(), self._read)

    def starter(self) -> list[str]:
        """The inlet, as the agent's own Python runs it in the cell."""
        return self._starter

    def environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """Nothing of the app's means anything to the inlet, nor to the shells before it."""
        return {f"{APPS}{name}": value for name, value in own.items()} | self._env

    async def connect(self, root: int) -> socket.socket:
        """Ask the inlet for a socket and wait until it is connected."""
        async with asyncio.timeout(CONNECT_SECONDS), self._turns:
            if self._ours.fileno() < 0:
                raise ConnectionAbortedError(errno.ECONNABORTED, "the replica is over")
            self._ours.send(CONNECT)
            answer: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
            self._waiting.append(answer)
            return await _established(await answer)

    def _read(self) -> None:
        while True:
            try:
                said, fds, _, _ = socket.recv_fds(self._ours, 16, _FDS_MAX, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                said, fds = b"", []
            if not said or not self._waiting:
                # It has ended, or says what it was not asked for: then nothing it says can be told apart any more.
                _close_all(fds)
                self.close()
                return
            answer = self._waiting.popleft()
            try:
                opened = _checked(said, fds)
            except OSError as error:
                if not answer.done():
                    answer.set_exception(error)
                continue
            if answer.done():
                opened.close()
            else:
                answer.set_result(opened)

    def ask_to_end(self, root: int) -> None:
        """The inlet sends it to all it sees: the app's."""
        with contextlib.suppress(OSError):
            self._ours.send(END)

    def close(self) -> None:
        """Whoever waits is told."""
        if self._ours.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._ours.fileno())
        self._ours.close()
        self._theirs.close()
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(ConnectionAbortedError(errno.ECONNABORTED, "the replica is over"))
        self._waiting.clear()


class Direct:
    """Over the machine's own loopback, to a free port: for an app that shares the machine's network. Only where it is a
    process of the app's that listens there."""

    def __init__(self) -> None:
        self.port = _free_port()
        self.mounts: tuple[Mount, ...] = ()
        self.passed: tuple[int, ...] = ()
        self._seen_at: tuple[int, float] = (0, 0.0)

    def starter(self) -> list[str]:
        """Nothing: the app is started as it is."""
        return []

    def environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """The app's own."""
        return dict(own)

    async def connect(self, root: int) -> socket.socket:
        """Connect once it is clear who listens."""
        await self._require_own(root)
        error: OSError = ConnectionRefusedError(errno.ECONNREFUSED, "nothing listens")
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            opened = socket.socket(family, socket.SOCK_STREAM)
            opened.setblocking(False)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await asyncio.get_running_loop().sock_connect(opened, (address, self.port))
            except OSError as failure:
                opened.close()
                error = failure if family == socket.AF_INET else error
            except BaseException:
                opened.close()
                raise
            else:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return opened
        raise error

    async def _require_own(self, root: int) -> None:
        now = asyncio.get_running_loop().time()
        if self._seen_at[0] == root and now - self._seen_at[1] < 1:
            return
        if not await asyncio.to_thread(listens, root, self.port):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "no process of the app listens there")
        self._seen_at = (root, now)

    def ask_to_end(self, root: int) -> None:
        """To every process below the root."""
        ask_to_end(root)

    def close(self) -> None:
        """Nothing is held open."""


def ask_to_end(root: int) -> None:
    """SIGTERM to every process below this one, which is ours: the init of a cell, or a reaper."""
    for pid in tree.members(root)[1:]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _checked(said: bytes, fds: list[int]) -> socket.socket:
    """The TCP socket that an inlet handed over; OSError where it is anything else. Whoever is in the cell may have
    written this answer."""
    if said[0] or len(fds) != 1:
        _close_all(fds)
        raise OSError(said[0] or errno.EPROTO, os.strerror(said[0]) if said[0] else "the inlet was tampered with")
    try:
        opened = socket.socket(fileno=fds[0])
    except OSError:
        os.close(fds[0])
        raise
    if opened.family not in (socket.AF_INET, socket.AF_INET6) or opened.type != socket.SOCK_STREAM:
        opened.close()
        raise OSError(errno.EPROTO, "the inlet was tampered with")
    opened.setblocking(False)
    return opened


async def _established(opened: socket.socket) -> socket.socket:
    """The socket once it is connected; OSError where it will not be."""
    try:
        try:
            opened.getpeername()
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            await _writable(opened)
        if failed := opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(failed, os.strerror(failed))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        opened.close()
        raise
    return opened


async def _writable(opened: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(opened.fileno(), lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_writer(opened.fileno())


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
