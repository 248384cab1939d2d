"""Hints inside one process: whoever looks is woken, and nobody else pays."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager


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
        self._nodes: dict[str, set[int]] = {}
        self._apps: set[int] = set()
        self._look = LocalWatch()
        self._look_at_apps = LocalWatch()
        self._work = LocalWatch()

    def tasks_changed(self, ids: Sequence[int]) -> None:
        """These tasks changed, or printed something."""
        if self._tasks:
            for task in ids:
                for watch in self._tasks.get(task, ()):
                    watch.hint()

    def node_changed(self, node: str, tasks: Sequence[int] = ()) -> None:
        """This node's record changed, or these tasks it holds are wanted back."""
        self._nodes.setdefault(node, set()).update(tasks)
        self._look.hint()

    def apps_changed(self, ids: Sequence[int]) -> None:
        """These apps changed: every server should read them again."""
        if ids:
            self._apps.update(ids)
            self._look_at_apps.hint()

    def work_waits(self) -> None:
        """There may be something to dispatch: a new hint, or an open slot."""
        self._work.hint()

    def watch_task(self, task: int) -> AbstractContextManager[LocalWatch]:
        """Look at a task from now on; costs nothing to those who do not."""
        return _watching(self._tasks, task)

    def overhear(self, listener: Callable[[Sequence[int]], None] | None) -> None:
        """There is no other server."""

    async def next_work(self, seconds: float) -> bool:
        """Wait until `work_waits` is called (or was since the last return); False when it was not in time."""
        return await self._work.changed(seconds)

    async def next_nodes(self, seconds: float) -> dict[str, set[int]]:
        """The nodes that changed since the last return, with the tasks named; empty when none did in time."""
        await self._look.changed(seconds)
        nodes, self._nodes = self._nodes, {}
        return nodes

    async def next_apps(self, seconds: float) -> set[int]:
        """The apps that changed since the last return; empty when none did in time."""
        await self._look_at_apps.changed(seconds)
        apps, self._apps = self._apps, set()
        return apps


@contextmanager
def _watching(watches: dict[int, set[LocalWatch]], key: int) -> Iterator[LocalWatch]:
    watch = LocalWatch()
    watches.setdefault(key, set()).add(watch)
    try:
        yield watch
    finally:
        watches[key].discard(watch)
        if not watches[key]:
            del watches[key]
