"""The bus over Redis pub/sub: what one server says wakes those who look on every other one."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec
import structlog
from redis.asyncio.connection import AbstractConnection

from anchor.adapters.redis.circuit import FAILURES, RETRY_SECONDS, RETRY_SECONDS_MAX, Away, Circuit, words_of
from anchor.core.attempt import Reason
from anchor.ports.bus import ANY_APP, ANY_NODE, Bus, Watch

log = structlog.get_logger("anchor.redis")
IDS_MAX = 10_000
"""Tasks, nodes and apps named in one message; where there are more, everybody is told to look at everything."""
QUIET_SECONDS = 1.0
"""After this long without a message the connection is tested, and given up when no answer comes as soon."""


class Said(msgspec.Struct, array_like=True):
    """One message: what changed since the last one. `all` stands for everything."""

    origin: bytes
    tasks: list[int] = []
    nodes: dict[str, list[int]] = {}
    work: bool = False
    all: bool = False
    apps: list[int] = []


class RedisBus:
    """Wakes those who look on this server through `here`, at once, and those on the other servers through Redis.

    All that changes in one turn of the event loop, or while a message is on its way, is one message. Where messages may
    have been missed (Redis was away, or the connection was cut) everybody is woken once.
    """

    def __init__(self, circuit: Circuit, here: Bus, *, connect: Callable[[], AbstractConnection], channel: str) -> None:
        self._circuit = circuit
        self._here = here
        self._connect = connect
        self._channel = channel
        self._origin = os.urandom(8)
        self._watched: Counter[int] = Counter()
        self._listener: Callable[[Sequence[int]], None] | None = None
        self._tasks: set[int] = set()
        self._nodes: dict[str, set[int]] = {}
        self._apps: set[int] = set()
        self._work = self._all = False
        self._speaking: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()
        self._missed = False
        self.problem: Reason | None = None
        circuit.returned.append(self._redis_is_back)

    async def open(self, seconds: float) -> None:
        """Listen from now on; returns when the other servers can be heard, or after so many seconds."""
        self._listening = asyncio.create_task(self._listen())
        try:
            async with asyncio.timeout(seconds):
                await self._subscribed.wait()
        except TimeoutError:
            log.warning("no bus yet", channel=self._channel)

    async def close(self) -> None:
        """Stop listening and speaking."""
        for task in (self._listening, self._speaking):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def tasks_changed(self, ids: Sequence[int]) -> None:
        """These tasks changed, or printed something."""
        self._here.tasks_changed(ids)
        self._tasks.update(ids)
        self._speak()

    def node_changed(self, node: str, tasks: Sequence[int] = ()) -> None:
        """This node's record changed, or these tasks it holds are wanted back."""
        self._here.node_changed(node, tasks)
        self._nodes.setdefault(node, set()).update(tasks)
        self._speak()

    def apps_changed(self, ids: Sequence[int]) -> None:
        """These apps changed: every server should read them again."""
        self._here.apps_changed(ids)
        self._apps.update(ids)
        self._speak()

    def work_waits(self) -> None:
        """There may be something to dispatch: a new hint, or an open slot."""
        self._here.work_waits()
        self._work = True
        self._speak()

    def watch_task(self, task: int) -> AbstractContextManager[Watch]:
        """Look at a task from now on; costs nothing to those who do not."""
        return self._watching(task)

    def overhear(self, listener: Callable[[Sequence[int]], None] | None) -> None:
        """Tell `listener` (None: nobody) which tasks change, or print something, on other servers."""
        self._listener = listener

    async def next_work(self, seconds: float) -> bool:
        """Wait until `work_waits` is called (or was since the last return); False when it was not in time."""
        return await self._here.next_work(seconds)

    async def next_nodes(self, seconds: float) -> dict[str, set[int]]:
        """The nodes that changed since the last return, with the tasks named; empty when none did in time."""
        return await self._here.next_nodes(seconds)

    async def next_apps(self, seconds: float) -> set[int]:
        """The apps that changed since the last return; empty when none did in time."""
        return await self._here.next_apps(seconds)

    @contextmanager
    def _watching(self, task: int) -> Iterator[Watch]:
        self._watched[task] += 1
        try:
            with self._here.watch_task(task) as watch:
                yield watch
        finally:
            self._watched[task] -= 1
            if not self._watched[task]:
                del self._watched[task]

    def _redis_is_back(self) -> None:
        self._all = True
        self._speak()
        self._here.work_waits()

    def _speak(self) -> None:
        if self._circuit.problem is not None:
            self._forget()
        elif self._speaking is None or self._speaking.done():
            self._speaking = asyncio.create_task(self._say_all())

    def _forget(self) -> None:
        self._tasks, self._nodes, self._apps = set(), {}, set()
        self._work = self._all = False

    async def _say_all(self) -> None:
        while self._tasks or self._nodes or self._apps or self._work or self._all:
            count = len(self._tasks) + len(self._nodes) + len(self._apps)
            said = Said(self._origin, all=self._all or count > IDS_MAX)
            if not said.all:
                said.tasks = list(self._tasks)
                said.nodes = {node: list(tasks) for node, tasks in self._nodes.items()}
                said.work = self._work
                said.apps = list(self._apps)
            self._forget()
            try:
                await self._circuit.ask(("PUBLISH", self._channel, msgspec.msgpack.encode(said)))
            except Away:
                self._forget()  # everybody is told to look at everything once Redis is back

    async def _listen(self) -> None:
        wait = 0.0
        while True:
            await asyncio.sleep(wait * random.uniform(0.5, 1))
            wait = min(max(2 * wait, RETRY_SECONDS), RETRY_SECONDS_MAX)
            connection = self._connect()
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    await connection.send_command("SUBSCRIBE", self._channel)
                    await connection.read_response()
                self.problem = None
                self._subscribed.set()
                wait = 0.0
                if self._missed:
                    self._look_at_everything()
                await self._hear(connection)
            except FAILURES as error:
                self._missed = True
                self.problem = Reason(
                    "bus_away",
                    f"The other servers cannot be heard through Redis: {words_of(error)}.",
                    "Nothing is lost: what they change is noticed a second later. The bus comes back by itself.",
                )
            finally:
                await connection.disconnect(nowait=True)

    async def _hear(self, connection: AbstractConnection) -> None:
        while True:
            heard = await connection.read_response(timeout=QUIET_SECONDS)
            if heard is None:
                await connection.send_command("PING")
                heard = await connection.read_response(timeout=QUIET_SECONDS)
                if heard is None:
                    raise TimeoutError("it is silent")
            if heard[0] == b"message":
                self._heard(heard[2])

    def _heard(self, message: bytes) -> None:
        try:
            said = msgspec.msgpack.decode(message, type=Said)
        except msgspec.MsgspecError:
            self._look_at_everything()  # from a server of another version
            return
        if said.origin == self._origin:
            return
        if said.all:
            self._look_at_everything()
            return
        if self._watched:
            self._here.tasks_changed([task for task in said.tasks if task in self._watched])
        if self._listener is not None and said.tasks:
            self._listener(said.tasks)
        for node, tasks in said.nodes.items():
            self._here.node_changed(node, tasks)
        if said.apps:
            self._here.apps_changed(said.apps)
        if said.work:
            self._here.work_waits()

    def _look_at_everything(self) -> None:
        self._here.tasks_changed(list(self._watched))
        self._here.node_changed(ANY_NODE)
        self._here.apps_changed([ANY_APP])
        self._here.work_waits()
