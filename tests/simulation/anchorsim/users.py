"""Simulated people: they submit (some with an Idempotency-Key, again and again until answered), cancel and operate."""

from collections.abc import Callable, Sequence
from typing import Any

from anchor.core.node import Status
from anchor.core.spec import INLINE_BYTES_MAX, Payload, Requirements, RetryPolicy, TaskSpec
from anchor.core.task import TERMINAL, State
from anchor.core.verification import Verify
from anchorsim.agent import ENDLESS
from anchorsim.graph_users import GraphUsers
from anchorsim.invariants import Invariants
from anchorsim.network import Weather
from anchorsim.round_rules import AGREE
from anchorsim.scheduler import Simulator, Violation
from anchorsim.server import Server
from anchorsim.truth import Truth, Undone

TIMEOUT_MS = 3_000
NOWHERE = "nowhere"
"""A label no machine has: tasks that ask for it, which are named for it, wait until somebody cancels them."""

_LARGE = Payload(source_code="x" * (INLINE_BYTES_MAX + 1))


class Request:
    """One POST of tasks, and its repetitions."""

    def __init__(self, users: "Users", specs: list[TaskSpec], owner: str, key: str | None) -> None:
        self.users = users
        self.specs = specs
        self.owner = owner
        self.key = key
        self.ids: list[int] | None = None
        self._tries = 0

    def send(self) -> None:
        """Send it to any server that runs."""
        users = self.users
        self._tries += 1
        server = users.any_server()
        if server is not None and users.gets_through():
            users.sim.after(users.delay_ms(), users.knock, server, server.host, self._arrive)
        users.sim.after(TIMEOUT_MS, self._timed_out, self._tries)

    def _arrive(self, server: Server) -> None:
        server.submit(
            self.specs, owner=self.owner, key=self.key, acked=self.users.invariants.acknowledged, answer=self._answer
        )

    def _answer(self, ids: Any, error: BaseException | None) -> None:
        if self.users.gets_through():
            self.users.sim.after(self.users.delay_ms(), self._heard, ids, error, self._tries)

    def _heard(self, ids: list[int] | None, error: BaseException | None, tries: int) -> None:
        if ids is None:
            self.users.sim.log("refused", self.owner, self.key, type(error).__name__)
            if self.key is not None and tries == self._tries and self.ids is None:
                self.users.sim.after(400, self._timed_out, tries)
            return
        self.users.sim.log("acked", self.owner, self.key, ids)
        if not self.users.invariants.gone.isdisjoint(ids):  # undone while the answer was on its way
            if self.key is not None and self.ids is None:
                self.send()
            return
        moved = self.ids is not None and self.key is not None and ids != self.ids
        if moved and not self.users.invariants.may_change((self.owner, self.key)):
            raise Violation(7, f"{self.owner} {self.key} got {ids} after {self.ids}")
        self.ids = ids
        if self.key is not None and self.users.sim.rng.random() < 0.15:
            self.users.sim.after(int(self.users.sim.rng.random() * 5_000), self.send)

    def lost(self, ids: set[int], claims: set[tuple[str, str]]) -> None:
        """What this request made was undone: somebody who has a key asks again, somebody who has none knows."""
        if self.ids is None:
            return
        left = [key for key in self.ids if key not in ids]
        if self.key is None:
            self.ids = left
        elif len(left) < len(self.ids) or (self.owner, self.key) in claims:
            self.ids = None
            self.users.sim.after(0, self.send)

    def _timed_out(self, tries: int) -> None:
        if self.ids is None and self.key is not None and tries == self._tries:
            self.send()


class Users:
    """Everybody who talks to the servers over HTTP."""

    def __init__(
        self, sim: Simulator, truth: Truth, weather: Weather, servers: Sequence[Server], invariants: Invariants
    ) -> None:
        self.sim = sim
        self.truth = truth
        self.weather = weather
        self.servers = servers
        self.invariants = invariants
        self.requests: list[Request] = []
        truth.on_rollback.append(self._rolled_back)
        self.nowhere_share = 0.0
        self.endless_share = 0.0
        self.checked_share = 0.0
        self.graphs = GraphUsers(self)

    def call(self, arrive: Callable[[Server], None]) -> None:
        """Send a request to any server that runs; it may get lost."""
        server = self.any_server()
        if server is not None and self.gets_through():
            self.sim.after(self.delay_ms(), self.knock, server, server.host, arrive)

    def submit(self) -> None:
        """Somebody submits one to four tasks."""
        rng = self.sim.rng
        specs = [self._spec() for _ in range(1 + int(rng.random() ** 3 * 4))]
        key = f"key-{len(self.requests)}" if rng.random() < 0.6 else None
        request = Request(self, specs, f"user-{int(rng.random() * 3)}", key)
        self.requests.append(request)
        request.send()

    def _rolled_back(self, undone: Sequence[Undone]) -> None:
        ids = {key for table, key, _, again in undone if table is self.truth.tasks and again is None}
        claims = {key for table, key, _, _ in undone if table is self.truth.claims}
        for request in self.requests:
            request.lost(ids, claims)

    def cancel_any(self) -> None:
        """Somebody cancels a task, finished or not."""
        known = [key for request in self.requests for key in request.ids or ()]
        if known:
            self.cancel(known[int(self.sim.rng.random() * len(known))])

    def cancel(self, task: int) -> None:
        """Ask any server to end a task."""
        server = self.any_server()
        if server is not None and self.gets_through():
            self.sim.log("cancel", task)
            self.sim.after(self.delay_ms(), self.knock, server, server.host, lambda to: to.cancel(task, _unheard))

    def operate(self, node: str, status: Status) -> None:
        """Ask any server to drain, block or resume a node."""
        server = self.any_server()
        if server is not None and self.gets_through():
            self.sim.log("operate", node, str(status))
            self.sim.after(self.delay_ms(), self.knock, server, server.host, lambda to: to.set_status(node, status))

    def tidy_up(self) -> None:
        """Cancel what can never run, and take every node back into service."""
        for key, task in list(self.truth.open.items()):
            of_run = task.origin is not None and task.origin.run
            if task.spec.name in (NOWHERE, ENDLESS) and task.state is not State.CANCELLING and not of_run:
                self.cancel(key)
        self.graphs.tidy_up()
        for name, node in self.truth.nodes.items():
            if node.status is not Status.READY:
                self.operate(name, Status.READY)

    def settled(self) -> bool:
        """Whether every keyed request was answered and every task has ended."""
        if self.truth.open or not self.graphs.settled():
            return False
        return all(request.ids is not None or request.key is None for request in self.requests)

    def unsettled(self) -> str:
        """What is not settled, for a failure message."""
        waiting = [request.key for request in self.requests if request.ids is None and request.key is not None]
        stuck = [
            f"{task.id} {task.state} attempt {task.attempt} at {task.node}/{task.session}"
            for task in self.truth.tasks.values()
            if task.state not in TERMINAL
        ]
        return f"unanswered {waiting}, unfinished {stuck}, {self.graphs.unsettled()}"

    def knock(self, server: Server, life: Any, arrive: Callable[[Server], None]) -> None:
        """A request reaches a server; a paused one reads it when it goes on, a dead one never."""
        if server.host is not life or not life.alive:
            return
        if life.paused_until > self.sim.now:
            self.sim.at(life.paused_until, self.knock, server, life, arrive)
        else:
            arrive(server)

    def any_server(self) -> Server | None:
        """A server that runs, if there is one."""
        up = [server for server in self.servers if server.up]
        return up[int(self.sim.rng.random() * len(up))] if up else None

    def gets_through(self) -> bool:
        """Whether one HTTP message arrives."""
        return not self.weather.drop or self.sim.rng.random() >= self.weather.drop

    def delay_ms(self) -> int:
        """How long one HTTP message takes."""
        return 1 + int(self.sim.rng.random() * self.weather.latency_ms)

    def _spec(self) -> TaskSpec:
        rng = self.sim.rng
        retry = RetryPolicy(attempts=1 + int(rng.random() * 3), backoff_seconds=rng.random() * 1.5)
        roll = rng.random()
        if rng.random() < self.checked_share:
            self.sim.struck.add("checked")
            policy = Verify(copies=2 + int(rng.random() * 2), agree=AGREE, copies_max=4)
            return TaskSpec("checked", "script", payload=Payload(source_code="1"), retry=retry, verify=policy)
        if roll < self.nowhere_share:
            self.sim.struck.add("nowhere")
            return TaskSpec(NOWHERE, "noop", requirements=Requirements(labels=[NOWHERE]), retry=retry)
        if roll < self.nowhere_share + self.endless_share:
            return TaskSpec(ENDLESS, "noop", retry=retry)
        if roll > 0.97:
            return TaskSpec("large", "script", payload=_LARGE, retry=retry)
        if roll > 0.8:
            return TaskSpec("script", "script", payload=Payload(source_code="1"), retry=retry, priority=int(roll * 9))
        return TaskSpec("noop", "noop", retry=retry)


def _unheard(_: Any, error: BaseException | None) -> None:
    """Nobody waits for the answer to a cancel."""
