"""Runs one program under a confinement from start to end: its output, its limits, and the certain end of its tree."""

import asyncio
import codecs
import contextlib
import functools
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from anchor.agent.finishing import to_its_end
from anchor.agent.sandbox import tree
from anchor.agent.sandbox.bubblewrap import data_kib, file_bytes, options, wrap
from anchor.agent.sandbox.cgroup import Group
from anchor.agent.sandbox.confinement import FILES_OPEN_MAX, PROCESSES_MAX, Cell, Confinement
from anchor.agent.sandbox.seccomp import native_filter
from anchor.agent.sandbox.watch import Watch
from anchor.core.attempt import Usage
from anchor.core.errors import FailureCode

if TYPE_CHECKING:
    import resource

KILL_SECONDS = 3.0
"""How long a kill may take before every known process is killed one by one."""
_FIRST_TO_GO = 'echo 800 2>/dev/null >/proc/self/oom_score_adj; exec "$@"'
"""Has the kernel choose the program, and all that it starts, when the machine's memory is short."""
DRAIN_SECONDS = 2.0
"""How long output may still arrive after the end; only an escaped process could hold the pipe open longer."""
THROTTLE_SECONDS = 0.005
"""The pause between reads of output that is dropped anyway, so that a flood costs the agent nothing."""
_READ_BYTES = 64 * 1024
_TAIL_CHARACTERS = 4096

Write = Callable[[str, str], bool]
"""Takes a stream (`stdout`, `stderr`) and text; answers whether it still wants more."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended. `code` is its exit code, 128 + n after signal n. `cut` is the limit it was killed for,
    `overfull` what was too much where that was the limit on disk, `never_started` what the sandbox said if the program
    could not be started, `stderr_tail` its last words."""

    code: int
    usage: Usage
    cut: FailureCode | None = None
    overfull: str = ""
    never_started: str = ""
    stderr_tail: str = ""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: `env` is the whole environment; `stdin` a file, or nothing. With `timeout_seconds` without end
    (math.inf) it is meant to run for ever. `passed` are file descriptors that it inherits under their own numbers."""

    argv: list[str]
    env: Mapping[str, str]
    cell: Cell
    timeout_seconds: float
    stdin: Path | None = None
    passed: tuple[int, ...] = ()


Started = Callable[[int, Watch], None]
"""Is told the pid of the root of a program's tree (in a cell: of its init) and who watches it."""


async def supervise(confinement: Confinement, program: Program, write: Write, started: Started | None = None) -> Ended:
    """Run `program` to its end or its limit. When this returns or raises, nothing of it is left.

    Cancelling kills the tree first and lets the cancellation through afterwards.
    """
    process = _Process(confinement, program, write)
    if started is not None:
        process.tell(started)
    cut: FailureCode | None = None
    try:
        await process.open_pipes()
        cut = await process.watch()
    finally:
        await process.end()
    return process.ended(cut)


class _Process:
    def __init__(self, confinement: Confinement, program: Program, write: Write) -> None:
        self._program = program
        self._write = write
        self._confined = confinement.level == "confined"
        self._init: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._status = b""
        self._tail = ""
        self._wall_seconds = 0.0
        self._refused: FailureCode | None = None
        cell = program.cell
        self._group = Group(confinement.cgroup, cell.memory_mib, cell.cores) if confinement.cgroup else None
        lasting = math.isinf(program.timeout_seconds)
        self._watch = Watch(cell, self._group, confined=self._confined, lasting=lasting)
        self._status_fd, status_write = os.pipe()
        try:
            self._popen = self._spawn(confinement, status_write)
        except BaseException:
            os.close(self._status_fd)
            if self._group is not None:
                self._group.removed()
            raise
        finally:
            os.close(status_write)
        self._began = time.monotonic()
        self._exit = asyncio.ensure_future(self._wait())
        self._pumps: list[asyncio.Task[None]] = []
        self._transports: list[asyncio.ReadTransport] = []
        if not self._confined:
            self._init.set_result(self._popen.pid)

    def _spawn(self, confinement: Confinement, status_write: int) -> subprocess.Popen[bytes]:
        program = self._program
        with contextlib.ExitStack() as stack:
            stdin: IO[bytes] | int = subprocess.DEVNULL
            passed = program.passed
            argv: list[str]
            env: dict[str, str] = {}
            if program.stdin is not None:
                stdin = stack.enter_context(program.stdin.open("rb"))
            if self._confined:
                # Not as arguments, which every user of the machine can read: a task's environment may hold secrets.
                calls = _system_calls(memory_files="memory" in confinement.cgroup)
                filtered = None if calls is None else stack.enter_context(_holding(calls)).fileno()
                told = options(confinement, program.cell, program.env, status_write, filtered)
                args = stack.enter_context(_holding(b"".join(option.encode() + b"\0" for option in told))).fileno()
                passed += (status_write, args) if filtered is None else (status_write, args, filtered)
                argv = wrap(confinement, program.cell, program.argv, ["--args", str(args)])
                argv = ["/bin/sh", "-c", _FIRST_TO_GO, "sh", *argv]
            else:
                argv, env = _reaped(program, bounded="pids" in confinement.cgroup), dict(program.env)
            if self._group is not None:
                argv = self._group.joining(argv)
            if program.cell.cores is not None and "cpu" not in confinement.cgroup:
                stack.enter_context(_on_cores(program.cell.cores))
            return subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=env,
                cwd=program.cell.directory.outside,
                pass_fds=passed,
                start_new_session=True,
            )

    def tell(self, started: Started) -> None:
        """Call `started` once the root of the tree is known."""
        self._init.add_done_callback(lambda init: None if init.cancelled() else started(init.result(), self._watch))

    async def open_pipes(self) -> None:
        if self._confined:
            asyncio.get_running_loop().add_reader(self._status_fd, self._read_status)
        for stream, pipe in (("stdout", self._popen.stdout), ("stderr", self._popen.stderr)):
            reader = asyncio.StreamReader(limit=_READ_BYTES)
            protocol = asyncio.StreamReaderProtocol(reader)
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda kept=protocol: kept, pipe)  # type: ignore[misc]
            self._transports.append(transport)
            self._pumps.append(asyncio.ensure_future(self._pump(stream, reader)))

    def _read_status(self) -> None:
        data = os.read(self._status_fd, 4096)
        self._status += data
        if not data:
            asyncio.get_running_loop().remove_reader(self._status_fd)
        if not self._init.done() and (said := self._said("child-pid")) is not None:
            self._init.set_result(said)

    def _said(self, key: str) -> int | None:
        for line in self._status.splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                value = json.loads(line).get(key)
                if isinstance(value, int):
                    return value
        return None

    async def _pump(self, stream: str, reader: asyncio.StreamReader) -> None:
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        while data := await reader.read(_READ_BYTES):
            wanted = self._took(stream, decode(data))
            if not wanted:
                await asyncio.sleep(THROTTLE_SECONDS)
        self._took(stream, decode(b"", final=True))

    def _took(self, stream: str, text: str) -> bool:
        if stream == "stderr":
            self._tail = (self._tail + text)[-_TAIL_CHARACTERS:]
        return self._write(stream, text)

    async def watch(self) -> FailureCode | None:
        """Look at the tree until it ends or goes beyond a limit; which one is the answer."""
        deadline = self._began + self._program.timeout_seconds
        filling: asyncio.Task[FailureCode] | None = None
        try:
            while True:
                wake = [self._exit, filling] if filling is not None else [self._exit]
                left = max(0, min(self._watch.tick, deadline - time.monotonic()))
                await asyncio.wait(wake, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if self._exit.done():
                    break
                if filling is not None and filling.done():
                    return filling.result()
                late = time.monotonic() >= deadline
                if self._init.done():
                    root = self._init.result()
                    if (code := self._watch.look(root)) is not None:
                        return code
                    filling = filling or asyncio.ensure_future(self._watch.until_full(root))
                if late:
                    return FailureCode.TIMEOUT
        finally:
            if filling is not None:
                filling.cancel()
        return await asyncio.to_thread(self._watch.fullness, None)

    async def end(self) -> None:
        """Kill what is left and wait until it is gone, whoever asks us to stop waiting meanwhile."""
        await to_its_end(self._end())

    async def _end(self) -> None:
        if not self._exit.done():
            await self._kill()
        if self._pumps:
            _, late = await asyncio.wait(self._pumps, timeout=DRAIN_SECONDS)
            for pump in late:
                pump.cancel()
        for transport in self._transports:
            transport.close()
        asyncio.get_running_loop().remove_reader(self._status_fd)
        if self._confined:
            os.set_blocking(self._status_fd, False)
            with contextlib.suppress(BlockingIOError):
                while data := os.read(self._status_fd, 4096):
                    self._status += data
        os.close(self._status_fd)
        if self._group is not None:
            if self._group.memory_kills():
                self._refused = FailureCode.MEMORY_LIMIT
            elif self._group.refused_processes():
                self._refused = FailureCode.PROCESS_LIMIT
            if self._group.measures_cpu:
                self._watch.cpu_seconds = self._group.cpu_seconds()
            give_up = time.monotonic() + DRAIN_SECONDS
            while not self._group.removed() and time.monotonic() < give_up:
                self._group.kill()
                await asyncio.sleep(0.01)

    async def _kill(self) -> None:
        # Killing the init of the pid namespace kills everything in it, and bubblewrap itself ends only after the
        # kernel has reaped that init: so bubblewrap's end means that nothing is left. The reaper does the same by hand.
        if not self._init.done():
            waiting: list[asyncio.Future[Any]] = [self._init, self._exit]
            await asyncio.wait(waiting, timeout=1, return_when=asyncio.FIRST_COMPLETED)
        target = self._init.result() if self._init.done() else self._popen.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(target, signal.SIGKILL if self._confined else signal.SIGTERM)
        await asyncio.wait([self._exit], timeout=KILL_SECONDS)
        while not self._exit.done():
            tree.kill(self._popen.pid)
            await asyncio.wait([self._exit], timeout=KILL_SECONDS)

    async def _wait(self) -> "tuple[int, resource.struct_rusage]":
        pid = self._popen.pid
        try:
            pidfd = os.pidfd_open(pid)
        except (AttributeError, OSError):
            _, status, used = await asyncio.to_thread(os.wait4, pid, 0)
        else:
            loop = asyncio.get_running_loop()
            gone: asyncio.Future[None] = loop.create_future()
            loop.add_reader(pidfd, _resolve, gone)
            try:
                await gone
            finally:
                loop.remove_reader(pidfd)
                os.close(pidfd)
            _, status, used = os.wait4(pid, os.WNOHANG)  # noqa: ASYNC222 - it has ended
        code = os.waitstatus_to_exitcode(status)
        self._wall_seconds = time.monotonic() - self._began
        # We reaped it ourselves, for the usage; Popen has to know.
        self._popen.returncode = code
        return code if code >= 0 else 128 - code, used

    def ended(self, cut: FailureCode | None) -> Ended:
        code, used = self._exit.result()
        if code != 0 and cut is None:
            cut = self._refused
        unstarted = self._confined and cut is None and self._said("exit-code") is None
        return Ended(
            code=code,
            usage=Usage(
                wall_seconds=round(self._wall_seconds, 4),
                # The kernel does not charge bubblewrap for what was killed with its namespace; the watcher saw it.
                cpu_seconds=round(max(used.ru_utime + used.ru_stime, self._watch.cpu_seconds), 4),
                peak_memory_mb=round(self._watch.peak_mib, 1),
            ),
            cut=cut,
            overfull=self._watch.overfull,
            never_started=(self._tail.strip() or "the sandbox ended early") if unstarted else "",
            stderr_tail=self._tail,
        )


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def held_by(confinement: Confinement) -> str:
    """What holds a cell to its share of processor time here, for people."""
    if "cpu" in confinement.cgroup:
        return "held by a quota"
    return "held by affinity to whole ones" if hasattr(os, "sched_setaffinity") else "not held on this system"


@contextlib.contextmanager
def _on_cores(cores: float) -> Iterator[None]:
    """Bind this thread, and so whatever it starts meanwhile, to as many cores of its own, chosen by chance, as `cores`
    begins; nothing where the system has no such call."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, random.sample(sorted(mine), min(len(mine), math.ceil(cores))))
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


@functools.cache
def _system_calls(*, memory_files: bool) -> bytes | None:
    return native_filter(memory_files=memory_files)


def _holding(content: bytes) -> IO[bytes]:
    """A file in memory that a program can be given by its number."""
    file = os.fdopen(os.memfd_create("anchor"), "w+b")
    file.write(content)
    file.seek(0)
    return file


def _reaped(program: Program, *, bounded: bool) -> list[str]:
    limits = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": FILES_OPEN_MAX, "RLIMIT_FSIZE": file_bytes(program.cell)}
    limits["RLIMIT_DATA"] = data_kib(program.cell.memory_mib) * 1024
    if not bounded:
        # This limit counts all of the user's processes, so the task's share goes on top of what there is.
        limits["RLIMIT_NPROC"] = tree.threads_of_user() + PROCESSES_MAX
    script = str(Path(__file__).with_name("reaper.py"))
    return [sys.executable, "-I", "-S", script, json.dumps(limits), str(os.getpid()), *program.argv]
