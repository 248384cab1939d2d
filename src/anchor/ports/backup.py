"""What a backup is read from and written to, whatever the engine."""

from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from anchor.core.access import Key
from anchor.core.app import App
from anchor.core.audit import Entry
from anchor.core.case import Case
from anchor.core.dag import Run
from anchor.core.node import Node
from anchor.core.task import Task
from anchor.core.usage import Use
from anchor.ports.store import Claim, LogChunk, Store


class Snapshot(Protocol):
    """What a store holds, read batch by batch while others write to it.

    Each document comes once, whole, as it was at some moment after the read of its kind began. `engine` and `schema`
    say where it came from.
    """

    engine: str
    schema: int

    async def epoch(self) -> int:
        """The store's epoch."""

    def tasks(self) -> AsyncIterator[list[tuple[Task, bytes]]]:
        """Tasks by rising id, each with its payload as JSON bytes (empty where it has none at hand)."""

    def logs(self) -> AsyncIterator[list[LogChunk]]:
        """What tasks printed."""

    def runs(self) -> AsyncIterator[list[Run]]:
        """Runs of graphs by rising id."""

    def cases(self) -> AsyncIterator[list[Case]]:
        """Cases by rising id."""

    def apps(self) -> AsyncIterator[list[App]]:
        """Apps by rising id; their variables are encrypted, as in the store."""

    async def unfulfilled(self) -> list[Claim]:
        """Claims not carried out yet."""

    def claims(self) -> AsyncIterator[list[Claim]]:
        """All claims."""

    async def nodes(self) -> list[Node]:
        """All nodes."""

    async def keys(self) -> list[Key]:
        """All keys."""

    def usage(self) -> AsyncIterator[list[Use]]:
        """What was used."""

    def audit(self) -> AsyncIterator[list[Entry]]:
        """The audit chain by rising number."""


class Archive(Protocol):
    """A backup being written: one member after the other."""

    def begin(self, name: str) -> None:
        """Start a member."""

    def write(self, lines: Iterable[bytes]) -> None:
        """Append bytes to it."""

    def end(self) -> tuple[int, str]:
        """Finish it; its size in bytes and its SHA-256."""

    def drop(self) -> None:
        """Forget the member that was begun."""


class Restorable(Store, Protocol):
    """A store that a backup can be put into."""

    async def count_restored(self) -> None:
        """The usage of the tasks that are over by now came with the backup: it is not to be counted from them."""

    async def set_epoch(self, epoch: int) -> None:
        """Make this the store's epoch."""
