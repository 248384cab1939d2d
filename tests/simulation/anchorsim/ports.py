"""The ports of a simulated server besides its store: ready queue, bus, blobs, clock, chance and links."""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence

from msgspec.structs import replace

from anchor.core.app import App, Replica
from anchor.core.errors import NotFound
from anchor.core.task import Task
from anchor.ports.ready import Hint
from anchorsim.hosting import items_of
from anchorsim.network import Connection
from anchorsim.scheduler import Call, Host, Simulator
from anchorsim.truth import Truth


class SimReady:
    """Hints, some of which get lost or come twice."""

    def __init__(self, sim: Simulator, *, loss: float, doubling: float) -> None:
        self._sim = sim
        self.loss = loss
        self.doubling = doubling
        self.hints: dict[int, Hint] = {}
        self.apart: dict[int, Hint] = {}

    def flush(self) -> None:
        """FLUSHALL."""
        self.hints.clear()
        self.apart.clear()

    async def push(self, hints: Sequence[Hint]) -> None:
        await Call(lambda _: self._push(hints))

    async def pop(self, limit: int, shapes: Sequence[str]) -> list[Hint]:
        return await Call(lambda _: self._pop(limit, shapes))

    async def shapes(self, now: int) -> list[str]:
        return await Call(lambda _: self._shapes(now))

    async def size(self) -> int:
        return await Call(lambda _: len(self.hints))

    def _push(self, hints: Sequence[Hint]) -> None:
        for hint in hints:
            if self.loss and self._sim.rng.random() < self.loss:
                self._sim.struck.add("lossy hints")
            else:
                (self.apart if hint.not_before else self.hints).setdefault(hint.id, hint)

    def _shapes(self, now: int) -> list[str]:
        for task, hint in list(self.apart.items()):
            if hint.not_before <= now:
                del self.apart[task]
                self.hints.setdefault(task, replace(hint, not_before=0))
        return sorted({hint.shape for hint in self.hints.values()})

    def _pop(self, limit: int, shapes: Sequence[str]) -> list[Hint]:
        wanted = [hint for hint in self.hints.values() if hint.shape in shapes]
        taken = sorted(wanted, key=lambda hint: (-hint.priority, hint.id))[:limit]
        for hint in taken:
            if self.doubling and self._sim.rng.random() < self.doubling:
                self._sim.struck.add("double hints")
            else:
                del self.hints[hint.id]
        return taken


class SharedReady:
    """One server's way to the queue all share. While that is out of reach the server has one of its own, and hands
    over what is in it afterwards."""

    def __init__(self, sim: Simulator, host: Host, shared: SimReady) -> None:
        self._sim = sim
        self._host = host
        self._shared = shared
        self._alone = SimReady(sim, loss=0.0, doubling=0.0)

    async def push(self, hints: Sequence[Hint]) -> None:
        await self._now().push(hints)

    async def pop(self, limit: int, shapes: Sequence[str]) -> list[Hint]:
        return await self._now().pop(limit, shapes)

    async def shapes(self, now: int) -> list[str]:
        if self._now() is self._shared and (names := await self._alone.shapes(now)):
            await self._shared.push(await self._alone.pop(1_000, names))
        return await self._now().shapes(now)

    async def size(self) -> int:
        return await self._now().size()

    def _now(self) -> SimReady:
        if not self._sim.is_out("queue", self._host.name):
            return self._shared
        self._sim.struck.add("queue outage")
        return self._alone


class SimBus:
    """Tells this server at once; what the others hear of it is the cluster's business."""

    def __init__(
        self,
        host: Host,
        on_work: Callable[[], None],
        on_node: Callable[[str, Sequence[int]], None],
        on_apps: Callable[[Sequence[int]], None],
    ) -> None:
        self._host = host
        self._on_work = on_work
        self._on_node = on_node
        self._on_apps = on_apps

    def tasks_changed(self, ids: Sequence[int]) -> None:
        """Nobody looks on here."""

    def apps_changed(self, ids: Sequence[int]) -> None:
        if self._host.alive:
            self._on_apps(ids)

    def node_changed(self, node: str, tasks: Sequence[int] = ()) -> None:
        if self._host.alive:
            self._on_node(node, tasks)

    def work_waits(self) -> None:
        if self._host.alive:
            self._on_work()


class SimBlobs:
    """Content-addressed bytes, durable once put."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def put(self, chunks: AsyncIterator[bytes], *, expected: str | None = None) -> tuple[str, int]:
        content = b"".join([chunk async for chunk in chunks])
        digest = hashlib.sha256(content).hexdigest()
        await Call(lambda _: self._truth.blobs.setdefault(digest, content), place="store", writes=True)
        return digest, len(content)

    async def get(self, digest: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        content: bytes | None = await Call(lambda _: self._truth.blobs.get(digest), place="store")
        if content is None:
            raise NotFound(f"There is no blob {digest}.", hint="Upload it.")
        yield content[start:end]

    async def size(self, digest: str) -> int | None:
        content: bytes | None = await Call(lambda _: self._truth.blobs.get(digest), place="store")
        return None if content is None else len(content)


class SimLinks:
    """The open connections of one server, newest per node."""

    def __init__(self, host: Host, on_end: Callable[[Connection], None]) -> None:
        self._host = host
        self._on_end = on_end
        self.by_node: dict[str, Connection] = {}

    async def assign(self, node: str, session: int, tasks: Sequence[Task]) -> None:
        connection = self.by_node.get(node)
        if connection is None or connection.session != session:
            return
        await Call(lambda _: None)
        if self._host.alive:
            connection.down("assign", [(task.id, task.attempt) for task in tasks])

    async def cancel(self, node: str, tasks: Sequence[Task]) -> None:
        connection = self.by_node.get(node)
        if self._host.alive and connection is not None:
            connection.down("cancel", [(task.id, task.attempt) for task in tasks if task.session == connection.session])

    async def host(self, node: str, session: int, replicas: Sequence[tuple[App, Replica]]) -> None:
        connection = self.by_node.get(node)
        if self._host.alive and connection is not None and connection.session == session:
            connection.down("host", items_of(replicas))

    async def hang_up(self, node: str, session: int) -> None:
        connection = self.by_node.get(node)
        if self._host.alive and connection is not None and connection.session == session:
            connection.close_server_end()
            self._on_end(connection)
