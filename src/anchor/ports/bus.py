"""Who should look again: hints between the parts of a server and between servers. Any of them may be lost."""

from collections.abc import Sequence
from typing import Protocol


class Bus(Protocol):
    """Says that something changed; never what it changed to (that is read from the store)."""

    def tasks_changed(self, ids: Sequence[int]) -> None:
        """These tasks changed, or printed something."""

    def node_changed(self, node: str) -> None:
        """This node's record changed."""

    def work_waits(self) -> None:
        """The ready queue has something in it."""
