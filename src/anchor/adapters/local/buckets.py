"""Token buckets in memory, by the monotonic clock."""

import time
from collections.abc import Callable

BUCKETS_MAX = 50_000
_ROUNDING = 1e-6


class LocalBuckets:
    """Remembers the `capacity` buckets used last; one that was forgotten is full again."""

    def __init__(self, *, capacity: int = BUCKETS_MAX, seconds: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._seconds = seconds
        self._kept: dict[str, tuple[float, float]] = {}

    async def take(self, name: str, *, rate: float, burst: float, cost: float = 1.0) -> float:
        """Take `cost` tokens, 0 where they were there; else the seconds until they would be."""
        now = self._seconds()
        tokens, at = self._kept.pop(name, (burst, now))
        tokens = min(burst, tokens + (now - at) * rate)
        enough = tokens + _ROUNDING >= cost
        self._kept[name] = (max(0.0, tokens - cost) if enough else tokens, now)
        if len(self._kept) > self._capacity:
            del self._kept[next(iter(self._kept))]
        return 0.0 if enough else (cost - tokens) / rate
