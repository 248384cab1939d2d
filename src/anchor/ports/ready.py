"""The ready queue: fast hints about which tasks could be leased. It may lose or repeat any of them."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Hint(msgspec.Struct, frozen=True):
    """A task that was queued when the hint was written, or that rests until `not_before` (Unix ms).

    A task's priority and shape are the same in all its hints.
    """

    id: int
    priority: int
    shape: str
    not_before: int = 0


class Ready(Protocol):
    """Hints by shape; within the shapes asked for, higher priority first, then older first."""

    async def push(self, hints: Sequence[Hint]) -> None:
        """File hints; one that is there already stays where it is. Those with a `not_before` are kept apart until
        then."""

    async def pop(self, limit: int, shapes: Sequence[str]) -> list[Hint]:
        """Take up to `limit` hints of these shapes."""

    async def shapes(self, now: int) -> list[str]:
        """File the hints whose time has come by `now` (Unix ms), then name the shapes that have any."""

    async def size(self) -> int:
        """How many filed hints there are, without those kept apart."""
