"""What an attempt has printed: gathered for a moment, numbered, and kept until the server has recorded its ending."""

import time
from typing import Final

from anchor.core.progress import read_progress
from anchor.wire.link import Chunk, Held

CHUNK_CHARS_MAX: Final = 16_384
PIECES_PER_GATHERING_MAX: Final = 50
"""Beyond this many changes between streams in one moment, their order among each other is given up."""
CHUNKS_BRISK: Final = 20_000
"""An attempt that has printed in more pieces than this has what it prints sent once a second."""
SLOW_SECONDS: Final = 1.0
CHUNKS_KEPT_MAX: Final = 100_000
"""More pieces than this are dropped and marked: each costs a few hundred bytes, however little is in it."""


class Printed:
    """The output of one attempt."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._gathered: list[tuple[int, str, list[str]]] = []
        self._gathered_share: int | None = None
        self._kept_share: int | None = None
        self._number = 0
        self._sent = 0
        self._sent_at = 0.0
        self.kept: list[Chunk] = []
        """What has been numbered, in order; of shares of the work done, the newest only."""
        self.bytes = 0
        """All that was printed, kept or not."""
        self.truncated = False

    def add(self, stream: str, text: str) -> None:
        """Take a piece in."""
        self.bytes += len(text.encode(errors="replace"))
        now = time.time_ns() // 1_000_000
        if stream == "progress" and read_progress(text) is not None:
            if self._gathered_share is not None:
                del self._gathered[self._gathered_share]
            self._gathered_share = len(self._gathered)
            self._gathered.append((now, stream, [text]))
            return
        texts = self._appendable(stream)
        if texts is not None:
            texts.append(text)
        elif len(self.kept) < CHUNKS_KEPT_MAX:
            self._gathered.append((now, stream, [text]))
        else:
            self.truncated = True

    def _appendable(self, stream: str) -> list[str] | None:
        """The texts of this stream that another may simply follow; None where a new piece has to begin."""
        if len(self._gathered) < PIECES_PER_GATHERING_MAX:
            last = len(self._gathered) - 1
            near = range(last, max(last - 1, -1), -1)
        else:
            near = range(len(self._gathered) - 1, -1, -1)
        for at in near:
            if self._gathered[at][1] == stream and at != self._gathered_share:
                return self._gathered[at][2]
        return None

    @property
    def rests(self) -> bool:
        """Whether it has printed so much that what it prints next has to wait a while longer."""
        return self._number > CHUNKS_BRISK and time.monotonic() - self._sent_at < SLOW_SECONDS

    @property
    def waits(self) -> bool:
        """Whether there is something to send."""
        return bool(self._gathered) or self._sent < self._number

    def unsent(self) -> list[Chunk]:
        """What the server was not sent yet; sent, from now on."""
        self._give_numbers()
        if self._sent == self._number:
            return []
        first = len(self.kept)
        while first and self.kept[first - 1].seq > self._sent:
            first -= 1
        self._sent = self._number
        self._sent_at = time.monotonic()
        return self.kept[first:]

    def unsend(self) -> None:
        """Everything has to be sent again: the line it went through is gone."""
        self._sent = 0

    def _give_numbers(self) -> None:
        gathered, self._gathered = self._gathered, []
        if self._gathered_share is not None and self._kept_share is not None:
            del self.kept[self._kept_share]
        for which, (at, stream, texts) in enumerate(gathered):
            text = "".join(texts)
            if which == self._gathered_share:
                self._kept_share = len(self.kept)
            for start in range(0, len(text), CHUNK_CHARS_MAX):
                self._number += 1
                piece = text[start : start + CHUNK_CHARS_MAX]
                self.kept.append(Chunk(self._held.task, self._held.attempt, self._number, at, stream, piece))
        self._gathered_share = None
