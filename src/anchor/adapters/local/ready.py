"""The ready queue in memory: a heap for each shape."""

import heapq
from collections.abc import Sequence

from anchor.ports.ready import Hint

HINTS_MAX = 200_000
FEW_SHARE = 200
"""Fewer hints than this part of the capacity are few."""


class LocalReady:
    """Holds up to `capacity` hints and drops what does not fit: the reconciler files those tasks again later. A shape
    with few hints has room all the same, so that a flood of others does not keep it out."""

    def __init__(self, *, capacity: int = HINTS_MAX) -> None:
        self._capacity = capacity
        self._heaps: dict[str, list[tuple[int, int]]] = {}
        self._filed: set[int] = set()
        self._apart: list[tuple[int, int, int, str]] = []
        self._resting: set[int] = set()

    async def push(self, hints: Sequence[Hint]) -> None:
        """File hints; one that is there already stays where it is. Those with a `not_before` are kept apart until
        then."""
        for hint in hints:
            if hint.not_before:
                if hint.id not in self._resting and len(self._resting) < self._capacity:
                    self._resting.add(hint.id)
                    heapq.heappush(self._apart, (hint.not_before, hint.id, hint.priority, hint.shape))
            elif hint.id not in self._filed and (len(self._filed) < self._capacity or self._is_among_few(hint)):
                self._filed.add(hint.id)
                heapq.heappush(self._heaps.setdefault(hint.shape, []), (-hint.priority, hint.id))

    def _is_among_few(self, hint: Hint) -> bool:
        few = self._capacity // FEW_SHARE
        return len(self._filed) < 2 * self._capacity and len(self._heaps.get(hint.shape, ())) < few

    async def pop(self, limit: int, shapes: Sequence[str]) -> list[Hint]:
        """Take up to `limit` hints of these shapes."""
        heads = [(*self._heaps[shape][0], shape) for shape in set(shapes) if shape in self._heaps]
        heapq.heapify(heads)
        taken: list[Hint] = []
        while heads and len(taken) < limit:
            falling, task, shape = heads[0]
            heap = self._heaps[shape]
            heapq.heappop(heap)
            self._filed.remove(task)
            taken.append(Hint(task, -falling, shape))
            if heap:
                heapq.heapreplace(heads, (*heap[0], shape))
            else:
                heapq.heappop(heads)
                del self._heaps[shape]
        return taken

    async def shapes(self, now: int) -> list[str]:
        """File the hints whose time has come by `now`, then name the shapes that have any."""
        while self._apart and self._apart[0][0] <= now:
            _, task, priority, shape = heapq.heappop(self._apart)
            self._resting.remove(task)
            await self.push([Hint(task, priority, shape)])
        return list(self._heaps)

    async def size(self) -> int:
        """How many filed hints there are, without those kept apart."""
        return len(self._filed)
