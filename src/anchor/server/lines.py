"""The connected agents of this server: what is sent to each, with a bound on what waits to be read."""

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog
from starlette.websockets import WebSocket

from anchor.core.app import App, Replica
from anchor.core.node import Node
from anchor.core.spec import limits_for, need_of_shape
from anchor.core.task import Task
from anchor.ports.store import Store
from anchor.server.app_secrets import AppSecrets
from anchor.server.host_items import Place, Sealing
from anchor.wire import link as wire
from anchor.wire.link import Assign, Assignment, Cancel, Held, Host, HostItem, Stop

log = structlog.get_logger("anchor.link")
OUTBOX_BYTES_MAX = 32 * 1024 * 1024
OUTBOXES_BYTES_MAX = 256 * 1024 * 1024
"""What may wait on all lines of this server together, before the one with the most is cut."""
PROTOCOL_OF_APPS = 4
HOSTS_MAX = 1_000
"""Replicas of a node that are remembered once they are over: their last words may be under way."""
GOLDEN_RATIO = 0.6180339887498949
CLOSE_SECONDS = 5.0
"""How long a line that is being closed may take to hand over what is queued."""


class Line:
    """One agent's socket after its hello. Sending never waits: frames queue up to a bound, then the line is cut.

    From `closing` on nothing more is taken; `over` is done once nothing may be sent or read any more; `printed` counts
    the bytes of output taken from each attempt on this line. `protocol` is the one spoken on it; `sealing` makes what
    the node is told of replicas, `hosts` are the newest of those it was told of.
    """

    def __init__(self, socket: WebSocket, node: Node, lines: "Lines", protocol: int = wire.PROTOCOL) -> None:
        self.node = node
        self.protocol = protocol
        self.sealing = Sealing(lines.secrets, node.box_key)
        self.hosts: dict[Place, HostItem] = {}
        self._socket = socket
        self._lines = lines
        self._outbox: deque[bytes] = deque()
        self.waiting_bytes = 0
        self._assignments: list[Assignment] = []
        self._assignment_bytes = 0
        self._wake = asyncio.Event()
        self.closing = False
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.printed: dict[tuple[int, int], int] = {}

    def assign(self, item: Assignment) -> None:
        """Queue an attempt. Those of many submits that one commit wrote share a frame: it is made when it is sent."""
        if self.closing:
            return
        size = len(item.payload) + 200
        if len(self._assignments) == wire.BATCH_MAX or self._assignment_bytes + size > wire.FRAME_BYTES_MAX // 2:
            self._frame_assignments()
        self._assignments.append(item)
        self._assignment_bytes += size
        self._wake.set()

    def send(self, frame: wire.FromServer) -> None:
        """Queue a frame; once the line is closing nothing is taken any more."""
        self._frame_assignments()
        self._queue(wire.encode(frame))

    def told(self, items: Sequence[HostItem]) -> None:
        """Remember what the node is told to run: output of nothing else is taken, also when it is over by then."""
        for item in items:
            place = (item.app, item.generation)
            self.hosts.pop(place, None)
            self.hosts[place] = item
        while len(self.hosts) > max(HOSTS_MAX, len(items)):
            del self.hosts[next(iter(self.hosts))]

    def _frame_assignments(self) -> None:
        if self._assignments:
            items, self._assignments, self._assignment_bytes = self._assignments, [], 0
            self._queue(wire.encode(Assign(items)))

    def _queue(self, content: bytes) -> None:
        if self.closing:
            return
        self._outbox.append(content)
        self._count(len(content))
        self._wake.set()
        if self.waiting_bytes > OUTBOX_BYTES_MAX:
            self.cut("agent reads too slowly; cutting its line")
        elif self._lines.waiting_bytes > OUTBOXES_BYTES_MAX:
            self._lines.cut_slowest()

    def _count(self, size: int) -> None:
        self.waiting_bytes += size
        self._lines.waiting_bytes += size

    def close(self) -> None:
        """Send what is queued, then hang up."""
        self._frame_assignments()
        if not self.closing:
            self.closing = True
            self._wake.set()
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self.hang_up)

    def cut(self, why: str) -> None:
        """Hang up at once."""
        log.warning(why, node=self.node.id)
        self.hang_up()

    def hang_up(self) -> None:
        """End the line, whatever is queued on it."""
        self.closing = True
        self._outbox.clear()
        self._count(-self.waiting_bytes)
        if not self.over.done():
            self.over.set_result(None)

    async def pump(self) -> None:
        """Write queued frames until the line is closed."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._frame_assignments()
            while self._outbox:
                frame = self._outbox.popleft()
                await self._socket.send_bytes(frame)
                self._count(-min(len(frame), self.waiting_bytes))
            if self.closing:
                await self._socket.close(1000)
                return


class Lines:
    """Every connected agent of this server; fulfils the port `Links`. `waiting_bytes` is queued on all of them."""

    def __init__(self, store: Store, *, secrets: AppSecrets, lease_seconds: float, heartbeat_seconds: float) -> None:
        self._store = store
        self.secrets = secrets
        self._lines: dict[str, Line] = {}
        self._replaced: dict[str, Line] = {}
        self._places = 0.0
        self.waiting_bytes = 0
        self.lease_seconds = lease_seconds
        self.heartbeat_seconds = heartbeat_seconds

    async def assign(self, node: str, session: int, tasks: Sequence[Task]) -> None:
        """Hand a node the attempts just leased to it."""
        line = self._lines.get(node)
        if line is None or line.node.session != session:
            return
        payloads = await self._payloads(tasks)
        for task, payload in zip(tasks, payloads, strict=True):
            line.assign(_assignment(task, payload))

    async def _payloads(self, tasks: Sequence[Task]) -> list[bytes]:
        with_payload = [task.id for task in tasks if not task.payload_blob]
        if not with_payload:
            return [b""] * len(tasks)
        found = dict(zip(with_payload, await self._store.payloads(with_payload), strict=True))
        return [found.get(task.id, b"") for task in tasks]

    async def cancel(self, node: str, tasks: Sequence[Task]) -> None:
        """Ask a node to stop the attempts it holds of these tasks."""
        line = self._lines.get(node)
        if line is not None:
            line.send(Cancel([Held(task.id, task.attempt) for task in tasks if task.session == line.node.session]))

    async def host(self, node: str, session: int, replicas: Sequence[tuple[App, Replica]]) -> None:
        """Tell a node all the replicas that it is to run. One that speaks too old a protocol is told nothing: it hosts
        no apps."""
        line = self._lines.get(node)
        if line is None or line.node.session != session or line.protocol < PROTOCOL_OF_APPS:
            return
        items = line.sealing.items(replicas)
        if items is None:
            log.error("a node is told of no changes: nobody can read the variables of what runs there", node=node)
            return
        line.told(items)
        line.send(Host(items))

    async def hang_up(self, node: str, session: int) -> None:
        """End a session's connection."""
        line = self._lines.get(node)
        if line is not None and line.node.session == session:
            line.send(Stop("this session is over", True))
            line.close()

    def connect(self, line: Line) -> None:
        """A new session; the line of the node's older one is closed, and one that was closing already is cut: a node
        has two sockets here at most."""
        node = line.node.id
        older = self._lines.get(node)
        if older is not None:
            oldest = self._replaced.get(node)
            if oldest is not None:
                oldest.cut("a third connection of this node; cutting the first")
            self._replaced[node] = older
            older.send(Stop("another connection of this node took over", True))
            older.close()
        self._lines[node] = line

    def disconnect(self, line: Line) -> bool:
        """Forget a line; False where a newer one has its place."""
        line.hang_up()
        node = line.node.id
        if self._replaced.get(node) is line:
            del self._replaced[node]
        if self._lines.get(node) is line:
            del self._lines[node]
            return True
        return False

    @property
    def count(self) -> int:
        """How many agents are connected."""
        return len(self._lines)

    def next_place(self) -> float:
        """A place from 0 to below 1, far from the last ones given: multiples of the golden ratio spread most evenly."""
        self._places = (self._places + GOLDEN_RATIO) % 1.0
        return self._places

    def cut_slowest(self) -> None:
        """Cut the line on which the most waits."""
        slowest = max(self._lines.values(), key=lambda line: line.waiting_bytes, default=None)
        if slowest is not None:
            slowest.cut("too much waits for agents to read it; cutting the slowest line")

    def close(self) -> None:
        """Tell every agent to come back later."""
        for line in self._lines.values():
            line.send(Stop("the server is stopping", True))
            line.close()


def _assignment(task: Task, payload: bytes) -> Assignment:
    runtime = need_of_shape(task.shape).runtime
    return Assignment(
        task=task.id,
        attempt=task.attempt,
        runtime=runtime,
        limits=limits_for(runtime, task.spec.limits),
        payload=payload,
        payload_blob=task.payload_blob,
        name=task.spec.name,
        gpu=task.spec.requirements.gpu_required,
    )
