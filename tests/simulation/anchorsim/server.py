"""A simulated server: the loops and handlers of the real one around the real orchestrator, over simulated ports."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from anchor.core.attempt import Ending
from anchor.core.dag import Graph
from anchor.core.ids import KeySequence, born_ms
from anchor.core.node import Metrics, Profile, Status
from anchor.core.spec import TaskSpec
from anchor.orchestrator import graphs, nodes, reconcile
from anchor.orchestrator.apps.hosting import tell
from anchor.orchestrator.apps.observe import observed
from anchor.orchestrator.apps.sweep import heard, sweep
from anchor.orchestrator.attend import attend
from anchor.orchestrator.cancel import cancel
from anchor.orchestrator.dispatch import dispatch
from anchor.orchestrator.follow import follow
from anchor.orchestrator.settle import settle
from anchor.orchestrator.submit import submit, submit_once
from anchor.orchestrator.world import World
from anchor.ports.ready import Ready
from anchor.wire.link import ReplicaStatus
from anchorsim.clocks import ServerClock
from anchorsim.network import Connection, Frame
from anchorsim.numbers import Numbered
from anchorsim.ports import SimBlobs, SimBus, SimLinks
from anchorsim.scheduler import Cancelled, Host, Origin, Process, Simulator
from anchorsim.store import SimStore
from anchorsim.truth import Truth

LEASE_MS = 6_000
HEARTBEAT_MS = 1_500
SWEEP_MS = 1_000

Answer = Callable[[Any, BaseException | None], None]


@dataclass(frozen=True)
class Hello:
    """What an agent says first."""

    slots: int
    profile: Profile
    held: list[tuple[int, int]]
    epoch: int


@dataclass(frozen=True)
class Site:
    """What a server is put into: the truth, its queue, its way to the other servers and its clock.

    `alone` is a server on the embedded store, which nobody shares; `hosts_apps`: there are apps in this run; `others`
    hears what it says on the bus;
    `clock` makes the clock of a life that finds `newest` (Unix ms) as the newest time in the store.
    """

    truth: Truth
    alone: bool
    make_ready: Callable[[Host], Ready]
    make_store: Callable[[Truth], SimStore]
    hosts_apps: bool
    clock: Callable[[int], ServerClock]
    others: Callable[["Server"], Iterable["Server"]]


class Server:
    """One server process through its lives."""

    def __init__(self, sim: Simulator, name: str, site: Site) -> None:
        self.sim = sim
        self.name = name
        self.host = Host(name)
        self.host.alive = False
        self._site = site
        self.cancels_handlers = False

    @property
    def up(self) -> bool:
        """Whether it runs (a paused one does, as far as others can tell)."""
        return self.host.alive

    def start(self) -> None:
        """Begin a new life with nothing but the store."""
        sim = self.sim
        self.host = host = Host(self.name)
        self.links = SimLinks(host, lambda connection: self._hung_up(host, connection))
        self.connections: list[Connection] = []
        self._busy: dict[Connection, list[Frame]] = {}
        self._running: dict[Connection, Process] = {}
        self._dispatching = False
        self._work = False
        self._attending = False
        self._changed: dict[str, set[int]] = {}
        truth = self._site.truth
        last_key = truth.last_key() if self._site.alone else 0
        clock = self._site.clock(max(born_ms(last_key), truth.newest_ms(LEASE_MS)))
        host.now = clock.now
        self.world = World(
            store=self._site.make_store(truth),
            ready=self._site.make_ready(host),
            bus=SimBus(host, self._work_waits, self._node_changed, self._apps_changed),
            blobs=SimBlobs(truth),
            links=self.links,
            clock=clock,
            chance=sim.rng,
            keys=KeySequence(0, last_key=last_key),
            lease_ms=LEASE_MS,
            heartbeat_ms=HEARTBEAT_MS,
            server=self.name,
            sole_writer=self._site.alone,
        )
        if not self._site.alone:
            Numbered(sim, host, self.world, lambda: max(truth.tasks, default=0))
        sim.log("server up", self.name)
        sim.after(int(sim.rng.random() * 100), self._sweep, host)
        sim.after(SWEEP_MS, self._tick, host)

    def crash(self) -> None:
        """kill -9."""
        self.sim.log("server down", self.name)
        self.sim.crash(self.host)
        for connection in self.connections:
            # The kernel says so to most agents; some only notice the silence.
            if self.sim.rng.random() < 0.8:
                connection.close_server_end()
            connection.server_end_open = False

    def pause(self, ms: int) -> None:
        """SIGSTOP, and SIGCONT later."""
        self.sim.log("server paused", self.name, ms)
        self.host.paused_until = self.sim.now + ms

    def hear_of_work(self) -> None:
        """Somebody says that something waits."""
        if self.up:
            self._kick(self.host)

    def hear_of_node(self, node: str, tasks: Sequence[int]) -> None:
        """Somebody says that a node changed."""
        if self.up:
            self._changed.setdefault(node, set()).update(tasks)
            self._attend(self.host)

    def hear_of_apps(self, ids: Sequence[int]) -> None:
        """Somebody says that apps changed."""
        if self.up and self.host.paused_until <= self.sim.now:
            self.sim.spawn(self.host, heard(self.world, set(ids)), Origin("heard"), _nothing)

    # What agents send

    def frame(self, host: Host, connection: Connection, frame: Frame) -> None:
        """A frame arrived on a connection to that life of this server."""
        if not host.alive:
            return
        if host.paused_until > self.sim.now:
            self.sim.at(host.paused_until, self.frame, host, connection, frame)
            return
        kind, body = frame
        self.sim.log("up", connection.agent, self.name, kind)
        if kind == "report":
            self._report(host, connection, body)
        elif kind == "closed":
            self._hung_up(host, connection)
        elif connection in self._busy:
            self._busy[connection].append(frame)
        else:
            self._busy[connection] = [frame]
            self._next_frame(host, connection)

    def _next_frame(self, host: Host, connection: Connection) -> None:
        waiting = self._busy[connection]
        while waiting and connection.server_end_open:
            kind, body = waiting.pop(0)
            if kind == "hello" and connection.session == 0:
                self._hello(host, connection, body)
                return
            if kind == "heartbeat" and connection.session:
                self._heartbeat(host, connection, body)
                return
            if kind == "hosted" and connection.session:
                self._hosted(host, connection, body)
                return
            if kind == "accepted":
                seat = self.world.fleet.seat(connection.agent, connection.session)
                if seat is not None:
                    seat.running.update(task for task, _ in body)
        del self._busy[connection]

    def _hello(self, host: Host, connection: Connection, hello: Hello) -> None:
        def done(greeted: nodes.Greeted | None, error: BaseException | None) -> None:
            if greeted is None:
                if not isinstance(error, Cancelled):
                    connection.down("refused")
                connection.close_server_end()
            else:
                connection.session = greeted.node.session
                older = self.links.by_node.get(connection.agent)
                if older is not None:
                    older.close_server_end()
                self.links.by_node[connection.agent] = connection
                connection.down("welcome", (greeted.node.session, greeted.epoch, greeted.dropped))
                stop = [(task.id, task.attempt) for task in greeted.cancelled if task.session == connection.session]
                if stop:
                    connection.down("cancel", stop)
                if "apps" in hello.profile.features:
                    self.sim.spawn(host, tell(self.world, [connection.agent]), Origin("tell"), _nothing)
                if connection.hung_up:
                    self._hung_up(host, connection)
            self._next_frame(host, connection)

        self.connections.append(connection)
        origin = Origin("hello", node=connection.agent, held=frozenset(hello.held), epoch=hello.epoch)
        step = nodes.welcome(
            self.world, connection.agent, profile=hello.profile, slots=hello.slots, held=hello.held, epoch=hello.epoch
        )
        self._handle(host, connection, step, origin, done)

    def _heartbeat(self, host: Host, connection: Connection, held: Sequence[tuple[int, int]]) -> None:
        def done(dropped: list[tuple[int, int]] | None, error: BaseException | None) -> None:
            if error is not None or dropped is None:
                connection.close_server_end()
                self._hung_up(host, connection)
            else:
                connection.down("renewed", dropped)
            self._next_frame(host, connection)

        origin = Origin("heartbeat", node=connection.agent, session=connection.session)
        step = nodes.heartbeat(self.world, connection.agent, connection.session, metrics=Metrics(), held=held)
        self._handle(host, connection, step, origin, done)

    def _hosted(self, host: Host, connection: Connection, statuses: Sequence[ReplicaStatus]) -> None:
        def done(_: Any, error: BaseException | None) -> None:
            self._next_frame(host, connection)

        origin = Origin("hosted", node=connection.agent, session=connection.session)
        step = observed(self.world, connection.agent, connection.session, statuses)
        self._handle(host, connection, step, origin, done)

    def _report(self, host: Host, connection: Connection, endings: Sequence[Ending]) -> None:
        def done(verdict: Any, error: BaseException | None) -> None:
            if error is None:
                both = verdict.recorded + verdict.stale
                connection.down("recorded", [(ending.task, ending.attempt) for ending in both])

        origin = Origin("report", node=connection.agent, session=connection.session)
        step = settle(self.world, node=connection.agent, session=connection.session, endings=endings)
        self.sim.spawn(host, step, origin, done)

    def _handle(
        self, host: Host, connection: Connection, step: Coroutine[Any, Any, Any], origin: Origin, done: Answer
    ) -> None:
        def ended(value: Any, error: BaseException | None) -> None:
            self._running.pop(connection, None)
            done(value, error)

        process = self.sim.spawn(host, step, origin, ended)
        if not process.over:
            self._running[connection] = process

    def _hung_up(self, host: Host, connection: Connection) -> None:
        if connection.session == 0:
            connection.hung_up = True  # nobody reads the socket while a hello is being answered
            return
        connection.server_end_open = False
        if connection in self._running:
            self.sim.cancel(self._running[connection])
        if self.links.by_node.get(connection.agent) is connection:
            del self.links.by_node[connection.agent]
            step = nodes.farewell(self.world, connection.agent, connection.session)
            self.sim.spawn(host, step, Origin("farewell"), _nothing)

    # What users and operators send

    def submit(
        self,
        specs: list[TaskSpec],
        *,
        owner: str,
        key: str | None,
        acked: Callable[[Sequence[Any], Origin], None],
        answer: Answer,
    ) -> None:
        """POST /api/tasks. `acked` is told of the tasks before anybody else is."""
        origin = Origin("submit", key=(owner, key) if key else None)
        if key is None:
            step: Coroutine[Any, Any, Any] = submit(self.world, specs, owner=owner)
        else:
            step = submit_once(self.world, specs, owner=owner, key=key, digest=key)

        def done(value: Any, error: BaseException | None) -> None:
            if error is None:
                tasks = value if key is None else value.tasks
                acked(tasks, origin)
                answer([task.id for task in tasks], None)
            else:
                answer(None, error)

        process = self.sim.spawn(self.host, step, origin, done)
        if self.cancels_handlers and self.sim.rng.random() < 0.3:
            self.sim.struck.add("cancelled handlers")
            self.sim.after(int(self.sim.rng.random() * 12), self.sim.cancel, process)

    def cancel(self, task: int, answer: Answer) -> None:
        """POST …/cancel."""
        self.sim.spawn(self.host, cancel(self.world, task, by="user"), Origin("cancel"), answer)

    def schedule(self, graph: Graph, owner: str, key: str | None, answer: Answer) -> None:
        """POST /api/dags."""
        if key is None:
            step: Coroutine[Any, Any, Any] = graphs.schedule(self.world, graph, owner=owner)
        else:
            step = graphs.schedule_once(self.world, graph, owner=owner, key=key, digest=key)

        def done(value: Any, error: BaseException | None) -> None:
            answer(value if value is None or key is None else value.run, error)

        process = self.sim.spawn(self.host, step, Origin("schedule", key=(owner, key) if key else None), done)
        if self.cancels_handlers and self.sim.rng.random() < 0.3:
            self.sim.struck.add("cancelled handlers")
            self.sim.after(int(self.sim.rng.random() * 12), self.sim.cancel, process)

    def cancel_run(self, run: int) -> None:
        """POST /api/dags/{id}/cancel."""
        self.sim.spawn(self.host, graphs.cancel(self.world, run, by="user"), Origin("cancel"), _nothing)

    def rerun(self, run: int, owner: str, how: dict[str, Any]) -> None:
        """POST /api/dags/{id}/rerun."""

        async def step() -> None:
            found = await self.world.store.run(run)
            if found is not None:
                await graphs.rerun(self.world, found, owner=owner, **how)

        self.sim.spawn(self.host, step(), Origin("schedule"), _nothing)

    def set_status(self, node: str, status: Status) -> None:
        """POST …/drain, resume, block."""
        step = nodes.set_status(self.world, node, status, by="operator")
        self.sim.spawn(self.host, step, Origin("operator"), _nothing)

    def ask_of_app(self, step: Coroutine[Any, Any, Any]) -> None:
        """Any request about an app."""
        self.sim.spawn(self.host, step, Origin("app"), _nothing)

    # Loops

    def _work_waits(self) -> None:
        self.sim.after(0, self._kick, self.host)
        for other in self._site.others(self):
            self.sim.after(1 + int(self.sim.rng.random() * 5), other.hear_of_work)

    def _node_changed(self, node: str, tasks: Sequence[int]) -> None:
        self.sim.after(0, self.hear_of_node, node, tasks)
        for other in self._site.others(self):
            self.sim.after(1 + int(self.sim.rng.random() * 5), other.hear_of_node, node, tasks)

    def _apps_changed(self, ids: Sequence[int]) -> None:
        for other in self._site.others(self):
            self.sim.after(1 + int(self.sim.rng.random() * 5), other.hear_of_apps, ids)

    def _attend(self, host: Host) -> None:
        if not host.alive or self._attending or not self._changed:
            return
        if host.paused_until > self.sim.now:
            self.sim.at(host.paused_until, self._attend, host)
            return

        def done(_: Any, error: BaseException | None) -> None:
            self._attending = False
            self.sim.after(0 if error is None else 1_000, self._attend, host)

        self._attending = True
        node = next(iter(self._changed))
        self.sim.spawn(host, attend(self.world, node, sorted(self._changed.pop(node))), Origin("attend"), done)

    def _tick(self, host: Host) -> None:
        if host.alive:
            self.sim.after(SWEEP_MS, self._tick, host)
            self._kick(host)

    def _kick(self, host: Host) -> None:
        if not host.alive:
            return
        if host.paused_until > self.sim.now:
            self.sim.at(host.paused_until, self._kick, host)
        elif self._dispatching:
            self._work = True
        else:
            self._dispatching, self._work = True, False
            self.sim.spawn(host, follow(self.world), Origin("follow"), self._followed)

    def _followed(self, _: Any, error: BaseException | None) -> None:
        # Whatever became of it, queued tasks do not wait for it.
        if error is not None:
            self.sim.after(1_000, self._kick, self.host)
        self.sim.spawn(self.host, dispatch(self.world), Origin("dispatch"), self._dispatched)

    def _dispatched(self, handed: Any, error: BaseException | None) -> None:
        self._dispatching = False
        if error is not None:
            self.sim.after(1_000, self._kick, self.host)
        elif self._work:
            self.sim.after(0, self._kick, self.host)

    def _sweep(self, host: Host) -> None:
        if not host.alive:
            return
        if host.paused_until > self.sim.now:
            self.sim.at(host.paused_until, self._sweep, host)
            return

        def done(_: Any, error: BaseException | None) -> None:
            wait = SWEEP_MS if error is None else 2 * SWEEP_MS
            self.sim.after(wait + int(self.sim.rng.random() * 50), self._sweep, host)

        self.sim.spawn(host, self._swept(), Origin("reconcile"), done)

    async def _swept(self) -> None:
        await reconcile.reconcile(self.world)
        if self._site.hosts_apps:
            await sweep(self.world, self.world.clock.now())


def _nothing(_: Any, error: BaseException | None) -> None:
    """For steps whose outcome nobody waits for; the scheduler lets through only errors a caller may get."""
