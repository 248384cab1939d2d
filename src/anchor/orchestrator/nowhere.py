"""Needs that no connected machine meets, remembered: however many of them wait, they keep nobody else waiting."""

KEPT_MAX = 200_000
AGAIN_MS = 40
"""For each one remembered, those whose answer may change rest so much longer until they are looked at again."""
FOR_GOOD = 1 << 62


class Nowhere:
    """By shape, how many machines had ever joined when it was looked at, and until when (Unix ms) that holds."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}

    def holds(self, shape: str, *, joined: int, now: int) -> bool:
        """Whether it is known that nobody meets this need, so that it need not be looked at."""
        known = self._known.get(shape)
        return known is not None and known[0] == joined and now < known[1]

    def asked(self, shape: str) -> int:
        """So many of all that ever joined do not meet this need and never will: the first of them."""
        joined, until = self._known.get(shape, (0, 0))
        return joined if until == FOR_GOOD else 0

    def note(self, shape: str, *, joined: int, until: int) -> None:
        """Nobody meets this need now."""
        rests = until if until == FOR_GOOD else until + AGAIN_MS * len(self._known)
        self._known.pop(shape, None)
        if len(self._known) >= KEPT_MAX:
            del self._known[next(iter(self._known))]
        self._known[shape] = (joined, rests)

    def forget(self, shape: str) -> None:
        """Somebody meets it."""
        self._known.pop(shape, None)
