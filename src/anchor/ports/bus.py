"""Who should look again: hints between the parts of a server and between servers. Any of them may be lost."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

ANY_NODE = ""
"""Stands for every node in `next_nodes`: something may have been missed."""
ANY_APP = 0
"""Stands for every app in `next_apps`: something about one may have been missed."""


class Watch(Protocol):
    """Somebody looking at one task."""

    async def changed(self, seconds: float) -> bool:
        """Wait for the next hint about it (or one since the last call); False when none came in time."""


class Bus(Protocol):
    """Says that something changed; never what it changed to (that is read from the store)."""

    def tasks_changed(self, ids: Sequence[int]) -> None:
        """These tasks changed, or printed something."""

    def node_changed(self, node: str, tasks: Sequence[int] = ()) -> None:
        """This node's record changed, or these tasks it holds are wanted back: the server it is connected to should
        look."""

    def apps_changed(self, ids: Sequence[int]) -> None:
        """These apps changed: every server should read them again."""

    def work_waits(self) -> None:
        """There may be something to dispatch: a new hint, or an open slot."""

    def watch_task(self, task: int) -> AbstractContextManager[Watch]:
        """Look at a task from now on; costs nothing to those who do not."""

    def overhear(self, listener: Callable[[Sequence[int]], None] | None) -> None:
        """Tell `listener` (None: nobody) which tasks change, or print something, on other servers; by far not all."""

    async def next_work(self, seconds: float) -> bool:
        """Wait until `work_waits` is called (or was since the last return); False when it was not in time."""

    async def next_nodes(self, seconds: float) -> dict[str, set[int]]:
        """Wait until `node_changed` is called (or was since the last return): the nodes with the tasks named; empty
        when it was not in time. The name "" stands for every node: something about one may have been missed."""

    async def next_apps(self, seconds: float) -> set[int]:
        """Wait until `apps_changed` is called (or was since the last return): the ids; empty when it was not in time.
        The id `ANY_APP` stands for every app: something about one may have been missed."""
