"""One worker process as its agent sees it: talked to, measured, killed with everything it started."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import psutil

from anchor.agent.workers.frames import MIB, Compiled, Ended, FrameError, Printed, Ready, Work, frame, read_word
from anchor.agent.workers.place import Place

_BOOT: Final = "import sys; sys.path[:0] = sys.argv[3:]; from anchor.agent.workers.worker import main; main()"
STREAM_BYTES: Final = 1024 * 1024
WORDS_IN_A_ROW: Final = 100
_WINDOWS_NEEDS: Final = ("SYSTEMROOT",)


def import_paths() -> list[str]:
    """Where this process finds modules, for one that looks nowhere by itself."""
    return [os.path.abspath(path) for path in sys.path if path]


class WorkerLost(Exception):
    """There is no worker to be had: it could not be started, or the pool is being stopped."""


class Body(Protocol):
    """A process, whoever started it."""

    pid: int
    code: int | None
    """Its return code (minus the signal's number); None while nothing is known of its end."""

    def end(self) -> None:
        """Kill it, with whatever it started."""

    async def gone(self) -> int:
        """Wait until it has ended and nothing is left of it; its return code."""


class Worker:
    """A worker process. `modules` are as it last said in its Ready."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Body, place: Place) -> None:
        self.place = place
        self._reader = reader
        self._writer = writer
        self._body = body
        self._measured: psutil.Process | None = None
        self._ready = Ready([], 0.0, 0.0)
        self._held_at_first: float | None = None
        self._listening = asyncio.Lock()
        self.cpu_seconds = 0.0
        """Processor time since its last Ready, at the last `measure`."""
        self.memory_mib = 0.0
        """The most memory beyond what it needs without work, over all calls of `measure` since its last Ready."""
        self.held_mib = 0.0
        """What it held at the last `measure` beyond what it held when it was ready first, files left out: counted here,
        and not by what it says of itself."""
        self.threads = 0
        """How many threads it had at the last `measure`; 0 where the system does not say."""
        self.fresh = True
        """Whether it was never given any work, and so nobody else's code can have touched it."""

    @property
    def pid(self) -> int:
        """The process id."""
        return self._body.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended, as far as can be known: the news of an end may be on its way still."""
        return self._body.code is None and not self._reader.at_eof() and not self._is_over()

    def _is_over(self) -> bool:
        if sys.platform != "linux":
            return False
        try:
            state = Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b") ")[2][:1]
        except OSError:
            return True
        return state in (b"Z", b"X")

    @property
    def modules(self) -> list[bytes]:
        """Digests of the compiled modules it holds."""
        return self._ready.modules

    @property
    def lacks(self) -> list[str]:
        """Steps of its confinement that could not be taken, and why."""
        return self._ready.lacks

    async def ready(self) -> bool:
        """Wait until it can take work; False where it ended instead. Raises FrameError."""
        async with self._listening:
            word = await read_word(self._reader)
        if isinstance(word, Ready):
            self._ready = word
            self.cpu_seconds = self.memory_mib = 0.0
            if self._held_at_first is None:
                self._held_at_first = self._held()
            return True
        if word is None:
            return False
        raise FrameError(f"a worker said {type(word).__name__} instead of Ready")

    async def run(
        self, work: Work, printed: Callable[[str, str], None], compiled: Callable[[bytes], None] | None = None
    ) -> Ended | None:
        """Hand work over and pass on what it prints and compiles; None where the process ended first. Raises
        FrameError, also where something was compiled and nobody asked for it."""
        self.fresh = False
        with contextlib.suppress(ConnectionError):
            # A process that is gone shows in what it says next: nothing.
            self._writer.write(frame(work))
            await self._writer.drain()
        async with self._listening:
            heard = 0
            while True:
                heard += 1
                # What is in the buffer already is read without a pause: others have to have their turn.
                if heard % WORDS_IN_A_ROW == 0:
                    await asyncio.sleep(0)
                match await read_word(self._reader):
                    case Printed(stream, text):
                        printed(stream, text)
                    case Compiled(code) if compiled is not None:
                        compiled(code)
                        compiled = None
                    case Ended() as ended:
                        return ended
                    case None:
                        return None
                    case word:
                        raise FrameError(f"a worker said {type(word).__name__} at work")

    def measure(self) -> None:
        """Look at what the process uses right now."""
        self.held_mib = self._held() - (self._held_at_first or 0.0)
        # A process that has ended may be gone already: then there is nothing to measure.
        with contextlib.suppress(psutil.Error):
            if self._measured is None:
                self._measured = psutil.Process(self.pid)
            with self._measured.oneshot():
                times = self._measured.cpu_times()
                self.cpu_seconds = max(self.cpu_seconds, times.user + times.system - self._ready.cpu_seconds)
                grown = self._measured.memory_info().rss / MIB - self._ready.resident_mib
                self.memory_mib = max(self.memory_mib, grown)

    def _held(self) -> float:
        """Memory of its own that it holds now, shared or not; counts its threads in passing."""
        held_kib = 0
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.pid}/status").read_bytes().splitlines():
                if line.startswith((b"RssAnon:", b"RssShmem:", b"VmSwap:")):
                    held_kib += int(line.split()[1])
                elif line.startswith(b"Threads:"):
                    self.threads = int(line.split()[1])
        return held_kib / 1024

    def end(self) -> None:
        """Kill it without waiting; whoever is in `run` sees it end."""
        self._body.end()

    async def kill(self) -> int:
        """Kill it and wait until it is gone; its return code (minus the signal's number).

        Whoever is in `ready` or `run` meanwhile sees the process end.
        """
        self._body.end()
        self._writer.transport.abort()
        return await self._body.gone()


class Started(Body):
    """A process that was started for one worker, and its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @property
    def code(self) -> int | None:  # type: ignore[override]
        """Its return code, once it is known."""
        return self._process.returncode

    @staticmethod
    async def worker(place: Place) -> Worker:
        """A new process that is loading its engines. Raises OSError.

        It sees no site directories, no environment and no files but its libraries'; the agent's pipes are its stdin
        and stdout only until its first line has run.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT),
            *(str(os.getpid()), str(place.path), *import_paths()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=STREAM_BYTES,
            cwd=Path(sys.executable).anchor,
            env={name: os.environ[name] for name in _WINDOWS_NEEDS if name in os.environ},
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        return Worker(process.stdout, process.stdin, Started(process), place)

    def end(self) -> None:
        """Kill its whole process group."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                if sys.platform == "win32":
                    self._process.kill()
                else:
                    os.killpg(self.pid, signal.SIGKILL)

    async def gone(self) -> int:
        """Wait for its end. Its pipes are read to theirs, or asyncio would not see it."""
        assert self._process.stdout is not None
        while await self._process.stdout.read(STREAM_BYTES):
            pass
        return await self._process.wait()
