"""How running work's output leaves a worker process: gathered for a moment, cut at its budget, sent in order."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from anchor.agent.workers.frames import Compiled, Ended, Printed, Ready, frame, write_all

Stream = Literal["stdout", "stderr", "progress"]

FLUSH_LENGTH = 32 * 1024
PIECE_LENGTH = 64 * 1024
"""The most characters sent in one frame."""
PULSE_SECONDS = 0.02
IDLE_BEATS_MAX = 10
"""Beats without work after which the pulse waits to be woken."""


class Words:
    """The worker's end of the pipe to its agent; frames of several threads never mix."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def say(self, *words: Ready | Printed | Compiled | Ended) -> None:
        """Send words together, waiting while the pipe is full."""
        data = b"".join(map(frame, words))
        with self._lock:
            write_all(self._fd, data)


class Printer:
    """Gathers the output of one piece of work; `budget_bytes` of it are sent and the rest is dropped."""

    def __init__(self, words: Words, budget_bytes: int) -> None:
        self._words = words
        self._left = budget_bytes
        self._pending: list[tuple[Stream, str]] = []
        self._length = 0
        self._lock = threading.RLock()
        self.truncated = False

    def write(self, stream: Stream, text: str) -> None:
        """Take text in; it is sent with the next flush."""
        with self._lock:
            size = len(text.encode())
            if size > self._left:
                self.truncated = True
                text = text.encode()[: self._left].decode(errors="ignore")
                size = self._left
            self._left -= size
            if not text:
                return
            self._pending.append((stream, text))
            self._length += len(text)
            if self._length >= FLUSH_LENGTH:
                self.flush()

    def flush(self) -> None:
        """Send what was gathered, pieces of the same stream together."""
        with self._lock:
            pending, self._pending, self._length = self._pending, [], 0
            at = 0
            while at < len(pending):
                stream = pending[at][0]
                pieces = []
                while at < len(pending) and pending[at][0] == stream:
                    pieces.append(pending[at][1])
                    at += 1
                text = "".join(pieces)
                for begin in range(0, len(text), PIECE_LENGTH):
                    self._words.say(Printed(stream, text[begin : begin + PIECE_LENGTH]))


class Stage:
    """What an engine has to run one piece of work with.

    `printer` takes its output (stream `progress`: texts of core.progress); `pulse` beats while it runs and calls at the
    deadline; `say_last` sends its ending from any thread, for engines that can only stop by ending the process.
    `keep` sends what a module was compiled to. `directory` is where the job's files are, None where it has none.
    `peak_mib` says how much memory the work has taken at most so far.
    """

    def __init__(
        self,
        printer: "Printer",
        pulse: "Pulse",
        say_last: Callable[[Ended], None],
        directory: Path | None,
        keep: Callable[[bytes], None] = lambda _: None,
        peak_mib: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.printer = printer
        self.pulse = pulse
        self.say_last = say_last
        self.directory = directory
        self.keep = keep
        self.peak_mib = peak_mib


class Pulse:
    """A thread that beats while work is running: `beat` and its owner's `watch` every 20 ms, and `late` once at the
    deadline. It sleeps on for a while after the work has ended, so that the next one need not wake it."""

    def __init__(self, watch: Callable[[], None] = lambda: None) -> None:
        self._watch = watch
        self._asleep = False
        self._changed = threading.Condition()
        self._beat: Callable[[], None] | None = None
        self._late: Callable[[], None] | None = None
        self._deadline = float("inf")
        threading.Thread(target=self._run, daemon=True).start()

    def begin(self, seconds: float, beat: Callable[[], None], late: Callable[[], None]) -> None:
        """Beat from now on; `late` is called when `seconds` have passed. Both run on this thread."""
        with self._changed:
            self._beat, self._late = beat, late
            self._deadline = time.monotonic() + seconds
            if self._asleep:
                self._changed.notify()

    def end(self) -> None:
        """Stop beating; a beat that is under way is waited for."""
        with self._changed:
            self._beat = self._late = None

    def _run(self) -> None:
        idle_beats = 0
        with self._changed:
            while True:
                if self._beat is None and idle_beats == IDLE_BEATS_MAX:
                    self._asleep = True
                    self._changed.wait()
                    self._asleep = False
                self._changed.wait(max(0.0, min(PULSE_SECONDS, self._deadline - time.monotonic())))
                if self._beat is None:
                    self._deadline = float("inf")
                    idle_beats += 1
                    continue
                idle_beats = 0
                self._beat()
                self._watch()
                if self._late is not None and time.monotonic() >= self._deadline:
                    late, self._late = self._late, None
                    self._deadline = float("inf")
                    late()
