"""Who goes first when the tasks of several owners wait: whoever used least lately. A memory, never the truth."""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence

HALF_LIFE_MS = 60_000
"""After this time, what an owner used counts half."""
COUNT_MS = 100
"""How often, at most, slots in use are counted."""
ATTEMPT_SLOT_SECONDS = 0.05
"""What an attempt counts for at least, however short it is."""
OWNERS_MAX = 10_000
OWNERS_AT_ONCE = 32
"""Owners that are served in one round, those who used least."""


class Shares:
    """Slot-seconds used lately, by owner; they fade."""

    def __init__(self) -> None:
        self._used: dict[str, float] = {}
        self._counted_at = 0

    def charge(self, owner: str) -> None:
        """An attempt of this owner was leased."""
        if owner in self._used:
            self._used[owner] += ATTEMPT_SLOT_SECONDS
            return
        if len(self._used) > 2 * OWNERS_MAX:
            self._used.clear()
        self._used[owner] = ATTEMPT_SLOT_SECONDS

    def used(self, owner: str) -> float:
        """What an owner used lately, in slot-seconds."""
        return self._used.get(owner, 0.0)

    def count(self, in_use: Iterable[str], now: int) -> None:
        """Charge the time since the last count: `in_use` names the owner of every slot in use."""
        passed = now - self._counted_at
        if passed < COUNT_MS:
            return
        # After a pause nobody knows for how long the slots were in use: a moment's worth is charged.
        seconds = min(passed, 10 * COUNT_MS) / 1000
        faded = 0.5 ** (passed / HALF_LIFE_MS)
        kept = {owner: used * faded for owner, used in self._used.items() if used * faded > ATTEMPT_SLOT_SECONDS / 100}
        for owner, slots in Counter(in_use).items():
            kept[owner] = kept.get(owner, 0.0) + slots * seconds
        if len(kept) > OWNERS_MAX:
            kept = dict(heapq.nlargest(OWNERS_MAX, kept.items(), key=lambda one: one[1]))
        self._used = kept
        self._counted_at = now

    def allot(self, owners: Sequence[str], room: int) -> list[tuple[str, int]]:
        """How many of `room` slots each owner gets, who used least first: each slot goes to the one who then has least,
        where a slot counts as one slot-second."""
        least = heapq.nsmallest(OWNERS_AT_ONCE, ((self.used(owner), owner) for owner in owners))
        given = {owner: 0 for _, owner in least}
        heapq.heapify(least)
        for _ in range(room):
            used, owner = least[0]
            given[owner] += 1
            heapq.heapreplace(least, (used + 1, owner))
        return [(owner, count) for owner, count in given.items() if count]
