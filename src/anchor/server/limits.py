"""How often one key may ask and one address may guess; whoever is too fast is told when to come back."""

import math

from anchor.core.errors import TooManyRequests
from anchor.ports.buckets import Buckets

WRONG_TOKENS_PER_SECOND = 20.0
WRONG_TOKENS_BURST = 1_000.0
NAMES_MAX = 10_000
GRANTS_PER_SECOND = 50
"""How often at most the shared buckets are asked for one busy key: tokens are fetched by the handful."""


class Limits:
    """Requests of each key at `requests_per_second`, with a burst of twice that."""

    def __init__(self, buckets: Buckets, requests_per_second: float) -> None:
        self._buckets = buckets
        self._rate = requests_per_second
        self._grant = max(1, int(requests_per_second / GRANTS_PER_SECOND))
        self._granted: dict[str, int] = {}

    async def request(self, name: str) -> None:
        """Count a request of this key; TooManyRequests where it asks too often."""
        left = self._granted.get(name, 0)
        if left == 0:
            burst = max(2 * self._rate, self._grant)
            wait = await self._buckets.take(f"requests/{name}", rate=self._rate, burst=burst, cost=self._grant)
            if wait > 0:
                raise _too_many(f"{name} asks more than {self._rate:g} times a second.", wait)
            if len(self._granted) > NAMES_MAX:
                self._granted.clear()
            left = self._grant
        self._granted[name] = left - 1

    async def wrong_token(self, address: str) -> None:
        """Count a token that opens nothing; TooManyRequests where an address tries one after the other."""
        wait = await self._buckets.take(f"wrong/{address}", rate=WRONG_TOKENS_PER_SECOND, burst=WRONG_TOKENS_BURST)
        if wait > 0:
            raise _too_many("Too many wrong tokens came from this address.", wait)


def _too_many(message: str, wait: float) -> TooManyRequests:
    return TooManyRequests(
        message,
        hint="Wait as long as Retry-After says. Many tasks are submitted fastest as one array: POST /api/tasks.",
        retry_after_seconds=math.ceil(wait),
    )
