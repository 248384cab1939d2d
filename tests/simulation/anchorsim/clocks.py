"""Clocks that disagree: servers sharing a store swing around its time, a lone server starts from a wall clock that is
set at will, and each agent's own monotonic clock runs a little fast or slow."""

import random
from collections.abc import Callable

from anchorsim.scheduler import EPOCH_MS, Simulator

SWING_MS_MAX = 40
"""How far a server's clock may be from the store's time: what half a round trip and 30 s of drift come to."""
PERIOD_MS = 60_000
DRIFT_MAX = 200e-6
WALL_STEP_MS = 2 * 3600 * 1000


class ServerClock:
    """What one life of a server takes for the time (Unix ms): never backwards, whatever it is corrected by.

    `offset_ms` is constant; on top of it the clock slews up and down by `swing_ms` once a minute.
    """

    def __init__(self, sim: Simulator, *, offset_ms: int = 0, swing_ms: int = 0, not_before_ms: int = 0) -> None:
        self._sim = sim
        self._offset_ms = offset_ms
        self._swing_ms = swing_ms
        self._phase = int(sim.rng.random() * PERIOD_MS) if swing_ms else 0
        self._newest = 0
        if not_before_ms > sim.now + offset_ms:
            self._offset_ms = not_before_ms - sim.now

    def now(self) -> int:
        time = self._sim.now + self._offset_ms
        if self._swing_ms:
            at = (self._sim.now - EPOCH_MS + self._phase) % PERIOD_MS
            time += abs(at * 4 * self._swing_ms // PERIOD_MS - 2 * self._swing_ms) - self._swing_ms
        if time > self._newest:
            self._newest = time
        return self._newest


def drifting(rng: random.Random) -> Callable[[int], int]:
    """How many of the world's milliseconds an agent takes for so many, by its own quartz."""
    rate = 1 + (2 * rng.random() - 1) * DRIFT_MAX
    return lambda ms: round(ms * rate)
