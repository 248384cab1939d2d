"""One worker process as its agent sees it: started, talked to, measured, killed with everything it started."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import psutil

from anchor.agent.workers.frames import MIB, Compiled, Ended, FrameError, Printed, Ready, Work, frame, read_word

_BOOT: Final = "import sys; sys.path[:0] = sys.argv[2:]; from anchor.agent.workers.worker import main; main()"
_STREAM_BYTES: Final = 1024 * 1024
_WINDOWS_NEEDS: Final = ("SYSTEMROOT",)


def _command() -> list[str]:
    paths = [os.path.abspath(path) for path in sys.path if path]
    return [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT, str(os.getpid()), *paths]


class WorkerLost(Exception):
    """There is no worker to be had: it could not be started, or the pool is being stopped."""


class Worker:
    """A worker process. `modules` are as it last said in its Ready."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._measured: psutil.Process | None = None
        # A process that ended at once may be gone already: then there is nothing to measure.
        with contextlib.suppress(psutil.Error):
            self._measured = psutil.Process(process.pid)
        self._ready = Ready([], 0.0, 0.0)
        self._listening = asyncio.Lock()
        self.cpu_seconds = 0.0
        """Processor time since its last Ready, at the last `measure`."""
        self.memory_mib = 0.0
        """The most memory beyond what it needs without work, over all calls of `measure` since its last Ready."""
        self.fresh = True
        """Whether it was never given any work, and so nobody else's code can have touched it."""

    @classmethod
    async def start(cls) -> Self:
        """A new process that is loading its engines. Raises OSError.

        It sees no site directories, no environment and no files but its libraries'; the agent's pipes are its stdin
        and stdout only until its first line has run.
        """
        process = await asyncio.create_subprocess_exec(
            *_command(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_STREAM_BYTES,
            cwd=Path(sys.executable).anchor,
            env={name: os.environ[name] for name in _WINDOWS_NEEDS if name in os.environ},
            start_new_session=True,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """The process id; also the id of its process group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether nothing is known of its end yet."""
        return self._process.returncode is None and not self._stdout.at_eof()

    @property
    def modules(self) -> list[bytes]:
        """Digests of the compiled modules it holds."""
        return self._ready.modules

    async def ready(self) -> bool:
        """Wait until it can take work; False where it ended instead. Raises FrameError."""
        async with self._listening:
            word = await read_word(self._stdout)
        if isinstance(word, Ready):
            self._ready = word
            self.cpu_seconds = self.memory_mib = 0.0
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
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(ConnectionError):
            # A process that is gone shows in what it says next: nothing.
            stdin.write(frame(work))
            await stdin.drain()
        async with self._listening:
            while True:
                match await read_word(self._stdout):
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
        if self._measured is None:
            return
        with contextlib.suppress(psutil.Error), self._measured.oneshot():
            times = self._measured.cpu_times()
            self.cpu_seconds = max(self.cpu_seconds, times.user + times.system - self._ready.cpu_seconds)
            grown = self._measured.memory_info().rss / MIB - self._ready.resident_mib
            self.memory_mib = max(self.memory_mib, grown)

    async def kill(self) -> int:
        """Kill its whole process group and wait until it is gone; its return code (minus the signal's number).

        Whoever is in `ready` or `run` meanwhile sees the process end.
        """
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                if sys.platform == "win32":
                    self._process.kill()
                else:
                    os.killpg(self.pid, signal.SIGKILL)
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with self._listening:
            # asyncio sees the end of a process only once its pipes are read to their ends.
            while await self._stdout.read(_STREAM_BYTES):
                pass
        return await self._process.wait()

    @property
    def _stdout(self) -> asyncio.StreamReader:
        assert self._process.stdout is not None
        return self._process.stdout
