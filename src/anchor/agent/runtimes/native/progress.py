"""The way by which a running program says how far it is: a named pipe, one line each time."""

import asyncio
import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from anchor.agent.job import BoundedOutput, Emit
from anchor.core.progress import progress_text

VARIABLE = "ANCHOR_PROGRESS"
"""The environment variable with the pipe's path: `echo "0.4 resizing" > "$ANCHOR_PROGRESS"`."""
PAUSE_SECONDS = 0.05
"""Between two readings: of what came meanwhile, the last line counts."""
PROGRESS_BYTES_MAX = 256 * 1024
_READ_BYTES = 4096
_LINE = re.compile(r"\s*(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})(%?)(?:\s+(.*))?\s*")


def read_line(line: str) -> str | None:
    """The progress text for `0.4 resizing` or `40% resizing`; None for what is neither."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    return progress_text(float(found[1]) / (100 if found[2] else 1), found[3] or "")


@contextlib.contextmanager
def listening(pipe: Path, emit: Emit) -> Iterator[None]:
    """Make the pipe and pass on what programs write into it, until the context is left."""
    os.mkfifo(pipe, 0o600)
    # Open for writing as well: so there is no end of file between two writers.
    descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    listener = _Listener(descriptor, BoundedOutput(emit, PROGRESS_BYTES_MAX))
    listener.wait()
    try:
        yield
    finally:
        listener.close()
        os.close(descriptor)


class _Listener:
    def __init__(self, descriptor: int, output: BoundedOutput) -> None:
        self._descriptor = descriptor
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._rest = b""
        self._said = ""

    def wait(self) -> None:
        self._timer = None
        self._loop.add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._timer = self._loop.call_later(PAUSE_SECONDS, self.wait)
        self._take()

    def _take(self) -> int:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return 0
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()[-_READ_BYTES:]
        texts = (read_line(line.decode(errors="replace")) for line in reversed(lines))
        text = next(filter(None, texts), None)
        if text is not None and text != self._said:
            self._said = text
            self._output.write("progress", text)
        return len(data)

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        if self._timer is not None:
            self._timer.cancel()
        taken = 0
        # What a full pipe holds, and no more: a process that escaped could write for ever.
        while taken < 16 * _READ_BYTES and (count := self._take()):
            taken += count
