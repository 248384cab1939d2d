"""The lists this server has to do with, kept at hand: a memory, never the truth."""

from collections import OrderedDict

from anchor.core.items import Walk

ITEMS_MAX = 2_000_000
"""Items of all lists kept at hand, about a byte each; those looked at last stay. One list always does."""
VALUES_BYTES_MAX = 128 * 1024 * 1024
"""Values of all lists kept at hand until their items are made; those of others are read again when it is their turn."""


class ListMemory:
    """Bounded by items; what was not looked at for longest goes first."""

    def __init__(self) -> None:
        self._walks: OrderedDict[int, Walk] = OrderedDict()
        self._items = 0

    def get(self, head: int) -> Walk | None:
        """What is known of the items of a head."""
        walk = self._walks.get(head)
        if walk is not None:
            self._walks.move_to_end(head)
        return walk

    def keep(self, head: int, walk: Walk) -> None:
        """Keep what is known of the items of a head."""
        self.drop(head)
        self._walks[head] = walk
        self._items += walk.count
        while self._items > ITEMS_MAX and len(self._walks) > 1:
            _, gone = self._walks.popitem(last=False)
            self._items -= gone.count

    def trim(self, head: int) -> None:
        """Let go of the values of lists other than this one where all that are kept are too large together."""
        left = VALUES_BYTES_MAX - sum(map(len, self._walks[head].values)) if head in self._walks else VALUES_BYTES_MAX
        for other in reversed(self._walks):
            walk = self._walks[other]
            if other != head and walk.values:
                left -= sum(map(len, walk.values))
                if left < 0:
                    walk.values = []

    def drop(self, head: int) -> None:
        """Forget a head, which is over."""
        gone = self._walks.pop(head, None)
        if gone is not None:
            self._items -= gone.count
