"""Who may say hello now: a storm of agents that come back must not keep those that are here from being heard."""

import random
import time
from collections import Counter
from collections.abc import Callable

HELLOS_PER_SECOND = 50.0
HELLOS_BURST = 50.0
RETRY_SECONDS_MAX = 30.0
UNGREETED_PER_ADDRESS_MAX = 250
UNGREETED_MAX = 2_000
"""Sockets that have not said hello yet; from then on a node has two at most. Callers on this machine, as a reverse
proxy is, count in the total only: a proxy knows the addresses behind it and bounds them itself."""
LOOPBACK = frozenset({"127.0.0.1", "::1"})


class Admission:
    """The agents' queue at the door. Nothing waits in it: who is not let in is told when to come back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self._tokens = HELLOS_BURST
        self._sent_away = 0.0
        self._ungreeted: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Whether one more socket may stay until its hello; if so, `leave` follows."""
        crowded = address not in LOOPBACK and self._ungreeted[address] >= UNGREETED_PER_ADDRESS_MAX
        if crowded or self._ungreeted.total() >= UNGREETED_MAX:
            return False
        self._ungreeted[address] += 1
        return True

    def leave(self, address: str) -> None:
        """A socket has said hello, or is gone."""
        self._ungreeted[address] -= 1
        if self._ungreeted[address] <= 0:
            del self._ungreeted[address]

    def turn(self, *, urgent: bool) -> float:
        """0 where it is this hello's turn; else in how many seconds to come back, spread over the time that all those
        sent away lately will take. An `urgent` one, of an agent that holds work, is let in at once: leases end."""
        now = self._clock()
        room = (now - self._at) * HELLOS_PER_SECOND
        self._at = now
        self._tokens = min(HELLOS_BURST, self._tokens + room)
        self._sent_away = max(0.0, self._sent_away - room)
        if self._tokens >= 1 or urgent:
            self._tokens -= 1
            return 0.0
        self._sent_away += 1
        return min(RETRY_SECONDS_MAX, (1.0 + self._sent_away / HELLOS_PER_SECOND) * (0.5 + random.random()))


def some_seconds() -> float:
    """When to come back where nothing is known about how long it takes."""
    return 1.0 + 2.0 * random.random()
