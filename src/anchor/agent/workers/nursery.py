"""The nursery as its agent sees it: it is asked for workers, and started anew when it has ended."""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from anchor.agent.workers.forking import MESSAGE_BYTES_MAX, Birth, Born, Gone, encode
from anchor.agent.workers.place import Place
from anchor.agent.workers.process import STREAM_BYTES, Body, Started, Worker, import_paths

_BOOT: Final = "import sys; sys.path[:0] = sys.argv[4:]; from anchor.agent.workers.forking import main; main()"
_LEAVE_SECONDS: Final = 2.0
_reports: msgspec.msgpack.Decoder[Born | Gone] = msgspec.msgpack.Decoder(Born | Gone)


class Source(Protocol):
    """Where workers come from."""

    async def bear(self, place: Place) -> Worker:
        """A new process that is loading its engines, with this directory as its own. Raises OSError."""

    async def close(self) -> None:
        """End what bears them, and with it every worker that is left."""


def source(engines: Mapping[str, str]) -> Source:
    """Forks of a nursery where there can be one; else every worker is started on its own, with the usual engines."""
    return Nursery(engines) if sys.platform == "linux" and hasattr(os, "pidfd_open") else Direct()


class Direct:
    """Starts workers as processes of their own: Windows and macOS, where forking a process with libraries is unsafe."""

    async def bear(self, place: Place) -> Worker:
        """A new process that is loading its engines. Raises OSError."""
        return await Started.worker(place)

    async def close(self) -> None:
        """Nothing to end."""


class _Forked(Body):
    """A process that the nursery forked. Its pidfd names it for certain, whoever has its number by now."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.code: int | None = None
        self._pidfd = pidfd
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def gone(self) -> int:
        await asyncio.shield(self._over)
        assert self.code is not None
        return self.code

    def ended(self, code: int) -> None:
        """Take note of its return code; nothing is left of it."""
        if self.code is None:
            self.code = code
            os.close(self._pidfd)
            self._over.set_result(None)

    def orphaned(self) -> None:
        """Its nursery is gone: see to its end here."""
        loop = asyncio.get_running_loop()
        self.end()

        def over() -> None:
            loop.remove_reader(self._pidfd)
            self.ended(-signal.SIGKILL)

        loop.add_reader(self._pidfd, over)


class Nursery:
    """One nursery process at a time, started when a worker is first asked for."""

    def __init__(self, engines: Mapping[str, str]) -> None:
        self._engines = dict(engines)
        self._numbers = itertools.count(1)
        self._process: asyncio.subprocess.Process | None = None
        self._line: socket.socket | None = None
        self._starting = asyncio.Lock()
        self._awaited: dict[int, asyncio.Future[_Forked]] = {}
        self._bodies: dict[int, _Forked] = {}
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int | None:
        """The id of the nursery process; None where there is none."""
        return None if self._process is None else self._process.pid

    async def bear(self, place: Place) -> Worker:
        """A new worker, forked. Raises OSError."""
        async with self._starting:
            if self._line is None:
                await self._start()
        process, line = self._process, self._line
        assert process is not None
        assert line is not None
        number = next(self._numbers)
        ours, theirs = socket.socketpair()
        try:
            born: asyncio.Future[_Forked] = asyncio.get_running_loop().create_future()
            self._awaited[number] = born
            with theirs:
                socket.send_fds(line, [encode(Birth(number, str(place.path)))], [theirs.fileno()])
            body = await born
            reader, writer = await asyncio.open_connection(sock=ours, limit=STREAM_BYTES)
        except BaseException as error:
            self._awaited.pop(number, None)
            ours.close()
            if isinstance(error, ConnectionError):
                raise _ended(await process.wait()) from error
            raise
        return Worker(reader, writer, body, place)

    async def close(self) -> None:
        """End the nursery, and with it every worker that is left."""
        process = self._process
        self._hang_up()
        if process is None:
            return
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):  # it may have ended in this very moment
                process.kill()
            await process.wait()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        engines = msgspec.json.encode(self._engines).decode()
        with theirs:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT),
                    *(str(os.getpid()), str(theirs.fileno()), engines, *import_paths()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    cwd="/",
                    env={},
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        self._line = ours
        asyncio.get_running_loop().add_reader(ours, self._hear, self._process)

    def _hear(self, process: asyncio.subprocess.Process) -> None:
        assert self._line is not None
        try:
            message, fds, _, _ = socket.recv_fds(self._line, MESSAGE_BYTES_MAX, 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except ConnectionError:
            message, fds = b"", []
        if not message:
            self._lose(process)
            return
        match _reports.decode(message):
            case Born(number, pid):
                body = self._bodies[number] = _Forked(pid, fds[0])
                waiter = self._awaited.pop(number, None)
                if waiter is None or waiter.cancelled():
                    body.end()
                else:
                    waiter.set_result(body)
            case Gone(number, code, why):
                body_gone = self._bodies.pop(number, None)
                if body_gone is not None:
                    body_gone.ended(code)
                self._refuse(number, OSError(why))

    def _refuse(self, number: int, why: OSError) -> None:
        waiter = self._awaited.pop(number, None)
        if waiter is not None and not waiter.done():
            waiter.set_exception(why)

    def _lose(self, process: asyncio.subprocess.Process) -> None:
        """The nursery has ended: whoever waits for a worker is told, and its workers are seen to their ends."""
        self._hang_up()
        if not self._awaited:
            return

        async def tell(numbers: list[int]) -> None:
            code = await process.wait()
            for number in numbers:
                self._refuse(number, _ended(code))

        task = asyncio.get_running_loop().create_task(tell(list(self._awaited)))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def _hang_up(self) -> None:
        if self._line is not None:
            asyncio.get_running_loop().remove_reader(self._line)
            self._line.close()
        self._line = self._process = None
        for number in list(self._bodies):
            self._bodies.pop(number).orphaned()


def _ended(code: int) -> OSError:
    return OSError(f"the process that makes them ended with code {code}")
