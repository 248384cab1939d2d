"""The machine's own clock and dice."""

import os
import random
import time


class SystemClock:
    """Wall time read once, then carried on by the monotonic clock: setting the machine's clock moves no deadline.

    `not_before_ms` is the newest time already written down; a machine whose clock lags behind goes on from there.
    """

    def __init__(self, *, not_before_ms: int = 0) -> None:
        self._start_ms = max(time.time_ns() // 1_000_000, not_before_ms)
        self._start_ns = time.monotonic_ns()

    def now(self) -> int:
        """Unix milliseconds; never runs backwards."""
        return self._start_ms + (time.monotonic_ns() - self._start_ns) // 1_000_000


class SystemChance:
    """Dice for jitter, and the operating system's randomness for whatever must not be guessed."""

    def random(self) -> float:
        """A number in [0, 1)."""
        return random.random()

    def randbytes(self, n: int, /) -> bytes:
        """`n` unpredictable bytes."""
        return os.urandom(n)
