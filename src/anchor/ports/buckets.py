"""How often somebody may ask: token buckets, shared by all servers where there are several."""

from typing import Protocol


class Buckets(Protocol):
    """One token bucket for each name; a bucket nobody used for long is full."""

    async def take(self, name: str, *, rate: float, burst: float, cost: float = 1.0) -> float:
        """Take `cost` tokens from a bucket that holds `burst` and gains `rate` a second.

        0 where they were there; else nothing is taken, and the answer is the seconds until they would be.
        """
