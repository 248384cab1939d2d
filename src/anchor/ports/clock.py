"""Time and chance, which come in by the door."""

from typing import Protocol


class Clock(Protocol):
    """The one clock deadlines are compared on."""

    def now(self) -> int:
        """Unix milliseconds; never runs backwards."""


class Chance(Protocol):
    """Where dice are rolled."""

    def random(self) -> float:
        """A number in [0, 1)."""

    def randbytes(self, n: int, /) -> bytes:
        """`n` unpredictable bytes."""
