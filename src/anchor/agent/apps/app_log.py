"""What a replica prints: whole lines at a bounded rate, numbered, and kept for a while when no server listens."""

import time
from collections import deque
from typing import Final

from anchor.wire.link import Chunk

BYTES_PER_SECOND: Final = 64 * 1024
BURST_BYTES: Final = 256 * 1024
LINE_CHARACTERS_MAX: Final = 8 * 1024
"""A longer line is cut."""
KEPT_BYTES_MAX: Final = 512 * 1024
"""What may wait to be sent; beyond it the oldest goes."""
CHUNK_CHARACTERS_MAX: Final = 16 * 1024
TAIL_LINES: Final = 20
TAIL_CHARACTERS: Final = 2000
OURS: Final = "progress"
"""The stream of what the agent itself says."""
_STREAMS: Final = ("stdout", "stderr", OURS)


class AppLog:
    """The log of one generation of an app."""

    def __init__(self, app: int, generation: int) -> None:
        self._app = app
        self._generation = generation
        # Numbered on from the time, so that an agent that was started anew goes on behind what it has sent before.
        self._number = time.time_ns() // 1000
        self._open = dict.fromkeys(_STREAMS, "")
        self._cut = dict.fromkeys(_STREAMS, False)
        self._waiting: deque[tuple[int, str, str]] = deque()
        self._waiting_bytes = 0
        self._credit = float(BURST_BYTES)
        self._credit_at = time.monotonic()
        self._dropped_lines = 0
        self._dropped_bytes = 0
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def write(self, stream: str, text: str) -> bool:
        """Take in what was printed; whether all of it is kept."""
        kept = True
        *whole, rest = (self._open[stream] + text).split("\n")
        for line in whole:
            if self._cut[stream]:
                self._cut[stream] = False  # the end of a line whose beginning is taken in
            else:
                kept = self._take(stream, line) and kept
        if len(rest) > LINE_CHARACTERS_MAX:
            if not self._cut[stream]:
                kept = self._take(stream, rest) and kept
            self._cut[stream] = True
            rest = ""
        self._open[stream] = rest
        return kept

    def say(self, text: str) -> None:
        """A line of the agent's own."""
        self._keep(OURS, f"{text}\n")

    def finish(self) -> None:
        """The program has ended: what it has not ended a line with is one."""
        for stream, rest in self._open.items():
            if rest:
                self._take(stream, rest)
            self._open[stream] = ""
            self._cut[stream] = False

    def tail(self) -> str:
        """The last lines, of the program and of whoever built it."""
        return "\n".join(self._tail)[-TAIL_CHARACTERS:]

    def forget_tail(self) -> None:
        """What comes next is not to be explained by what came before."""
        self._tail.clear()

    @property
    def waits(self) -> bool:
        """Whether there is something to send."""
        return bool(self._waiting) or self._dropped_lines > 0

    def taken(self, bytes_max: int) -> list[Chunk]:
        """The next pieces to send, at most so many bytes (and one piece) of them; they are not kept here any more."""
        self._admit_drops()
        chunks: list[Chunk] = []
        while self._waiting and bytes_max > 0:
            at, stream, text = self._waiting.popleft()
            while (
                self._waiting
                and self._waiting[0][1] == stream
                and len(text) + len(self._waiting[0][2]) <= CHUNK_CHARACTERS_MAX
            ):
                text += self._waiting.popleft()[2]
            size = len(text.encode(errors="replace"))
            self._waiting_bytes -= size
            bytes_max -= size
            self._number += 1
            chunks.append(Chunk(self._app, self._generation, self._number, at, stream, text))
        return chunks

    def _take(self, stream: str, line: str) -> bool:
        """Keep a line if there is credit for it; whether there was."""
        if len(line) > LINE_CHARACTERS_MAX:
            line = f"{line[:LINE_CHARACTERS_MAX]} … (cut at {LINE_CHARACTERS_MAX:,} characters)"
        self._tail.append(line[:TAIL_CHARACTERS])
        size = len(line.encode(errors="replace")) + 1
        now = time.monotonic()
        self._credit = min(BURST_BYTES, self._credit + (now - self._credit_at) * BYTES_PER_SECOND)
        self._credit_at = now
        if size > self._credit:
            self._dropped_lines += 1
            self._dropped_bytes += size
            return False
        self._credit -= size
        self._admit_drops()
        self._keep(stream, f"{line}\n")
        return True

    def _admit_drops(self) -> None:
        if self._dropped_lines:
            lines, size = self._dropped_lines, self._dropped_bytes
            self._dropped_lines = self._dropped_bytes = 0
            kept = f"a log keeps {BYTES_PER_SECOND // 1024} KiB a second"
            self.say(f"{lines:,} lines ({size:,} bytes) were dropped here: {kept}")

    def _keep(self, stream: str, text: str) -> None:
        self._waiting.append((time.time_ns() // 1_000_000, stream, text))
        self._waiting_bytes += len(text.encode(errors="replace"))
        while self._waiting_bytes > KEPT_BYTES_MAX:
            _, _, oldest = self._waiting.popleft()
            self._waiting_bytes -= len(oldest.encode(errors="replace"))
