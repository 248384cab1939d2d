"""A bound on how many bytes pass in a second."""

import asyncio
import time


class Rate:
    """A bucket of bytes that fills at `per_second` and holds a quarter of a second's; it may be overdrawn once, and
    then is waited for."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._left = per_second / 4
        self._at = time.monotonic()

    def owed(self, size: int) -> float:
        """Take `size` bytes; how many seconds to wait before taking more."""
        if self._left <= size:
            now = time.monotonic()
            self._left = min(self._left + (now - self._at) * self._per_second, self._per_second / 4)
            self._at = now
        self._left -= size
        return max(0.0, -self._left / self._per_second)

    async def pace(self, size: int) -> None:
        """Take `size` bytes, and wait until more may be taken."""
        wait = self.owed(size)
        if wait:
            await asyncio.sleep(wait)
