"""One container from its start to its end: its output, its time, what it uses, and that nothing of it is left."""

import asyncio
import codecs
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from anchor.agent.finishing import to_its_end
from anchor.agent.runtimes.container.engine import Container, Engine, remove, run_line, tell
from anchor.agent.sandbox import tree
from anchor.agent.sandbox.supervise import Ended
from anchor.core.attempt import Usage
from anchor.core.errors import FailureCode

LOOK_SECONDS: Final = 0.2
THROTTLE_SECONDS: Final = 0.005
"""The pause between reads of output that is dropped anyway."""
_READ_BYTES: Final = 64 * 1024
_TAIL_CHARACTERS: Final = 4096
_KILLED: Final = 137
_REMOVED_BY_KILL: Final = 1.0


class _Output:
    def __init__(self, write: Callable[[str, str], bool]) -> None:
        self._write = write
        self.tail = ""

    async def pump(self, stream: str, reader: asyncio.StreamReader) -> None:
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        while data := await reader.read(_READ_BYTES):
            if not self._take(stream, decode(data)):
                await asyncio.sleep(THROTTLE_SECONDS)
        self._take(stream, decode(b"", final=True))

    def _take(self, stream: str, text: str) -> bool:
        if stream == "stderr":
            self.tail = (self.tail + text)[-_TAIL_CHARACTERS:]
        return self._write(stream, text)


async def contain(engine: Engine, container: Container, stdin: Path | None, write: Callable[[str, str], bool]) -> Ended:
    """Run a container to its end or its limit. When this returns or raises, nothing of it is left."""
    output = _Output(write)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(stdin.open("rb")) if stdin is not None else asyncio.subprocess.DEVNULL
        client = await asyncio.create_subprocess_exec(
            *run_line(engine, container),
            stdin=source,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Podman's monitor leaves an empty file there when a container is out of memory.
            cwd=container.variables.parent,
            start_new_session=True,
        )
    assert client.stdout is not None
    assert client.stderr is not None
    pumps = asyncio.gather(output.pump("stdout", client.stdout), output.pump("stderr", client.stderr))
    meter = asyncio.create_task(_measure(engine, container, client))
    cut: FailureCode | None = None
    try:
        async with asyncio.timeout(container.timeout_seconds):
            code = await client.wait()
            await pumps
    except TimeoutError:
        cut, code = FailureCode.TIMEOUT, _KILLED
    finally:
        meter.cancel()
        await _end(engine, container, client, pumps)
    used = await asyncio.gather(meter, return_exceptions=True)
    usage = Usage(wall_seconds=round(time.monotonic() - began, 4))
    if isinstance(used[0], tree.Sample):
        usage = Usage(
            wall_seconds=usage.wall_seconds,
            cpu_seconds=round(used[0].cpu_seconds, 4),
            peak_memory_mb=round(used[0].memory_mib, 1),
        )
    if cut is None and code == _KILLED:
        # Nobody else kills in there: the kernel did, at the memory limit of the container's control group.
        cut = FailureCode.MEMORY_LIMIT
    return Ended(code=code, usage=usage, cut=cut, stderr_tail=output.tail)


async def _end(
    engine: Engine, container: Container, client: asyncio.subprocess.Process, pumps: "asyncio.Future[tuple[None, None]]"
) -> None:
    """Remove the container, however often somebody asks us to stop waiting meanwhile."""

    async def end() -> None:
        if client.returncode is None:
            await remove(engine, container.name)
            with contextlib.suppress(ProcessLookupError):
                client.kill()
        await client.wait()
        _, late = await asyncio.wait([pumps], timeout=_REMOVED_BY_KILL)
        for pump in late:
            pump.cancel()
        # A client that is gone may have been killed: its container then lives on.
        await remove(engine, container.name)

    await to_its_end(end())


async def _measure(engine: Engine, container: Container, client: asyncio.subprocess.Process) -> tree.Sample:
    """The most memory and the CPU time seen, until the client ends or this is cancelled."""
    seen = tree.Sample(0, 0.0, 0.0)
    pid = 0
    try:
        while client.returncode is None:
            if not pid:
                code, said = await tell(engine, "inspect", "--format", "{{.State.Pid}}", container.name)
                pid = int(said) if code == 0 and said.isdigit() else 0
            if pid:
                now = tree.sample(pid, None)
                seen = tree.Sample(
                    now.processes, max(seen.memory_mib, now.memory_mib), max(seen.cpu_seconds, now.cpu_seconds)
                )
            await asyncio.sleep(LOOK_SECONDS)
    except asyncio.CancelledError:
        return seen
    return seen
