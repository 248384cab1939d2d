"""The ready queue: fast hints about which tasks could be leased. It may lose or repeat any of them."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Hint(msgspec.Struct, frozen=True):
    """A task that was queued when the hint was written."""

    id: int
    priority: int
    shape: str


class Ready(Protocol):
    """Hints by shape; within the shapes asked for, higher priority first, then older first."""

    async def push(self, hints: Sequence[Hint]) -> None:
        """File hints; one that is there already stays where it is."""

    async def pop(self, limit: int, shapes: Sequence[str]) -> list[Hint]:
        """Take up to `limit` hints of these shapes."""

    async def shapes(self) -> list[str]:
        """The shapes that have hints."""

    async def size(self) -> int:
        """How many hints there are."""
