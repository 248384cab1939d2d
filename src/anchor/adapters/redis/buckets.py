"""Token buckets in Redis, by the time of its machine."""

from anchor.adapters.redis.circuit import Away, Circuit
from anchor.adapters.redis.scripts import DRAW, run
from anchor.ports.buckets import Buckets


class RedisBuckets:
    """Shared by all servers with one `prefix`. While Redis is away each server has `alone`, buckets of its own: a limit
    is then a limit for each server, and no outage."""

    def __init__(self, circuit: Circuit, alone: Buckets, *, prefix: str) -> None:
        self._circuit = circuit
        self._alone = alone
        self._prefix = prefix

    async def take(self, name: str, *, rate: float, burst: float, cost: float = 1.0) -> float:
        """Take `cost` tokens, 0 where they were there; else the seconds until they would be."""
        try:
            [wait] = await self._circuit.ask(run(DRAW, [f"{self._prefix}:{name}"], rate, burst, cost))
        except Away:
            return await self._alone.take(name, rate=rate, burst=burst, cost=cost)
        return float(wait)
