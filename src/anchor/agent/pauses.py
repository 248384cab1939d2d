"""How long an agent waits before it calls again: spread, so that a thousand dropped at once come back one by one."""

import random

UNHURRIED_LEASE_SECONDS = 15.0
"""With leases shorter than this, waits are shorter in proportion: who is away for a lease loses what it runs."""
SPREAD_SECONDS = 3.75
"""After a session that ended, everybody calls within this, a quarter of the lease; nobody after another's pattern."""
SETTLED_SECONDS = 10.0
"""A session that lasted less counts as one more failure."""
BACKOFF_CAP_SECONDS = 60.0
HOSTING_CAP_SECONDS = 8.0
"""The same where apps run, which nobody reaches meanwhile."""
UPGRADE_SECONDS = (300.0, 600.0)
BLOCKED_SECONDS = (5.0, 10.0)


class Pauses:
    """The waits of one agent, drawn with full jitter; `lease_seconds` and `place` are what the server said last,
    `hosts` whether apps run here."""

    def __init__(self) -> None:
        self.lease_seconds = UNHURRIED_LEASE_SECONDS
        self.place = -1.0
        self.hosts = False
        self._failures = 0

    def after_session(self, lasted: float) -> float:
        """A session is over after `lasted` seconds: the server stopped, or the way to it broke."""
        self._failures = 0 if lasted >= SETTLED_SECONDS else self._failures + 1
        if self._backoff > SPREAD_SECONDS:
            return self._pace * self._backoff * random.random()
        # A server spreads its agents more evenly than their dice could.
        return self._pace * SPREAD_SECONDS * (self.place if self.place >= 0 else random.random())

    def after_failure(self) -> float:
        """No session came about for the n-th time in a row: up to min(60, 2^n) seconds; min(8, 2^n) where apps run."""
        self._failures += 1
        return self._pace * self._backoff * random.random()

    def after_refusal(self, seconds: float) -> float:
        """The server asked for this long: no sooner, and up to a fifth later, for it may have told many."""
        return seconds * (1.0 + 0.2 * random.random())

    def for_upgrade(self) -> float:
        """Nothing changes until somebody installs another version here or there."""
        return random.uniform(*UPGRADE_SECONDS)

    def while_blocked(self) -> float:
        """Somebody may take the node back at any moment."""
        return random.uniform(*BLOCKED_SECONDS)

    @property
    def _backoff(self) -> float:
        return min(HOSTING_CAP_SECONDS if self.hosts else BACKOFF_CAP_SECONDS, 2.0 ** min(self._failures, 10))

    @property
    def _pace(self) -> float:
        return min(1.0, self.lease_seconds / UNHURRIED_LEASE_SECONDS)
