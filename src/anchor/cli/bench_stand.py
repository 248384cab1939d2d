"""A server and an agent of the benchmark's own: real processes on loopback, in a directory that is removed again."""

import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from anchor.client import AsyncClient
from anchor.config import OTHER_NAMES, REDIS_PARTS
from anchor.core.errors import AnchorError, Unavailable

START_SECONDS = 60.0
STOP_SECONDS = 15.0
LINES_KEPT = 40
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_URL = re.compile(r"http://\S+")


class Program:
    """An `anchor` command as a process; the last lines it printed are kept for the case that it fails."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._spoke = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, directory: Path, *arguments: str) -> "Program":
        """Start a command with nothing of this shell's settings; `directory` is where it runs."""
        strange = {*OTHER_NAMES, *REDIS_PARTS}
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ANCHOR_") and name not in strange
        }
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "anchor", *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                cwd=directory,
                env=environment,
            )
        )  # fmt: skip

    async def url(self) -> str:
        """The address that the program says it can be found at."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while True:
                    for line in self._lines:
                        if found := _URL.search(line):
                            return found.group()
                    if self._listening.done():
                        break
                    self._spoke.clear()
                    await self._spoke.wait()
        except TimeoutError:
            pass
        raise self.failure("The server did not start.")

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """The CPU time the process has used."""
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def rss_mib(self) -> float:
        """The memory it occupies now."""
        return float(psutil.Process(self._process.pid).memory_info().rss) / (1 << 20)

    async def kill(self) -> None:
        """End it without warning, as a power cut would."""
        self._process.kill()
        await self._listening

    def check(self) -> None:
        """Raise if the program has ended."""
        if self._process.returncode is not None:
            raise self.failure(f"A process of the benchmark ended with exit code {self._process.returncode}.")

    def failure(self, message: str) -> AnchorError:
        """An error that quotes what the program said last."""
        return Unavailable(message, hint="It said: " + ("\n".join(self._lines) or "nothing"), code="bench_failed")

    async def stop(self) -> None:
        """Ask it to stop; insist after a while."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        await self._listening

    async def _listen(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        while line := await stream.readline():
            self._lines.append(line.decode(errors="replace").rstrip())
            self._spoke.set()
        self._spoke.set()


class Stand:
    """What a measurement is made on."""

    def __init__(self, url: str, server: Program, agent: Program) -> None:
        self.url = url
        self.server = server
        self.agent = agent


@contextlib.asynccontextmanager
async def stand(directory: Path, *, slots: int) -> AsyncIterator[Stand]:
    """A server and one agent with this many slots, which joined it as any other would; both as they are shipped.

    Their data directories are made in `directory` and removed at the end.
    """
    with tempfile.TemporaryDirectory(prefix="anchor-bench-", dir=directory) as kept:
        data = Path(kept)
        async with contextlib.AsyncExitStack() as stack:
            server = await Program.start(data, "server", "--port", "0", "--data", str(data / "server"))
            stack.push_async_callback(server.stop)
            url = await server.url()
            async with AsyncClient(url) as client:
                ticket = await client.join_token()
                agent = await Program.start(
                    data, "join", url, ticket.token, "--slots", str(slots), "--data", str(data / "agent")
                )
                stack.push_async_callback(agent.stop)
                await _until_online(client, agent)
            yield Stand(url, server, agent)


async def _until_online(client: AsyncClient, agent: Program) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not any(node.status == "online" for node in await client.nodes()):
        agent.check()
        if time.monotonic() > deadline:
            raise agent.failure("The agent did not come online.")
        await asyncio.sleep(0.05)


def a_directory_on_disk() -> Path:
    """Where temporary files go, unless that is in memory, where a durable write costs nothing: then where we are."""
    usual = Path(tempfile.gettempdir())
    return Path.cwd() if filesystem_of(usual) in IN_MEMORY else usual


def filesystem_of(path: Path) -> str:
    """The kind of file system a path is on; empty where this machine does not say."""
    resolved = path.resolve()
    mounts = [mount for mount in psutil.disk_partitions(all=True) if resolved.is_relative_to(mount.mountpoint)]
    return max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else ""


def flush_ms(directory: Path, *, times: int = 100) -> float:
    """The median time of appending 4 KiB to a file and waiting for the disk: what every commit has to pay."""
    taken = []
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(times):
            begun = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - begun) * 1000)
    return round(sorted(taken)[times // 2], 3)
