"""Hints inside one process: whoever looks is woken, and nobody else pays."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

K = TypeVar("K", int, str)


class LocalWatch:
    """Remembers a hint until somebody waits for it. For one waiter at a time, on one event loop."""

    def __init__(self) -> None:
        self._hinted = asyncio.Event()

    def hint(self) -> None:
        """Something changed."""
        self._hinted.set()

    async def changed(self, seconds: float) -> bool:
        """Wait for the next hint (or one since the last call); False when none came in time."""
        if not self._hinted.is_set() and not await self._hint_within(seconds):
            return False
        self._hinted.clear()
        return True

    async def _hint_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._hinted.wait()
        except TimeoutError:
            return False
        return True


class LocalBus:
    """The bus of a server that is alone. Use it from one event loop."""

    def __init__(self) -> None:
        self._tasks: dict[int, set[LocalWatch]] = {}
        self._nodes: dict[str, set[LocalWatch]] = {}
        self._work = LocalWatch()

    def tasks_changed(self, ids: Sequence[int]) -> None:
        """These tasks changed, or printed something."""
        if self._tasks:
            for task in ids:
                for watch in self._tasks.get(task, ()):
                    watch.hint()

    def node_changed(self, node: str) -> None:
        """This node's record changed."""
        for watch in self._nodes.get(node, ()):
            watch.hint()

    def work_waits(self) -> None:
        """There may be something to dispatch: a new hint, or an open slot."""
        self._work.hint()

    def watch_task(self, task: int) -> AbstractContextManager[LocalWatch]:
        """Look at a task from now on; costs nothing to those who do not."""
        return _watching(self._tasks, task)

    def watch_node(self, node: str) -> AbstractContextManager[LocalWatch]:
        """Look at a node from now on."""
        return _watching(self._nodes, node)

    async def next_work(self, seconds: float) -> bool:
        """Wait until `work_waits` is called (or was since the last return); False when it was not in time."""
        return await self._work.changed(seconds)


@contextmanager
def _watching(watches: dict[K, set[LocalWatch]], key: K) -> Iterator[LocalWatch]:
    watch = LocalWatch()
    watches.setdefault(key, set()).add(watch)
    try:
        yield watch
    finally:
        watches[key].discard(watch)
        if not watches[key]:
            del watches[key]
