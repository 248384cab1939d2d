"""Simulated people with graphs: they schedule them (some with an Idempotency-Key), cancel runs and run them again."""

from typing import TYPE_CHECKING, Any

from anchor.core.dag import RUN_OVER, From, Graph, Run, Step
from anchor.core.graph_check import checked
from anchor.core.spec import Payload, RetryPolicy
from anchorsim.agent import ENDLESS, LISTER
from anchorsim.scheduler import Violation

if TYPE_CHECKING:
    from anchorsim.users import Users

TIMEOUT_MS = 3_000
_SCRIPT = Payload(source_code="1")


class RunRequest:
    """One POST of a graph, and its repetitions: those with a key are sent until they are answered."""

    def __init__(self, users: "GraphUsers", graph: Graph, owner: str, key: str | None) -> None:
        self.users = users
        self.graph = graph
        self.owner = owner
        self.key = key
        self.run: int | None = None
        self._tries = 0

    def send(self) -> None:
        """Send it to any server that runs."""
        self._tries += 1
        self.users.people.call(lambda server: server.schedule(self.graph, self.owner, self.key, self._answer))
        self.users.people.sim.after(TIMEOUT_MS, self._again, self._tries)

    def lost(self, runs: set[int], claims: set[tuple[str, str]]) -> None:
        """What was undone is asked for again by whoever has a key."""
        if self.run in runs or (self.key is not None and (self.owner, self.key) in claims):
            self.run = None
            self.users.people.sim.after(0, self._again, self._tries)

    def _answer(self, run: Run | None, error: BaseException | None) -> None:
        people = self.users.people
        if error is None and run is not None and people.gets_through():
            people.sim.after(people.delay_ms(), self._heard, run.id)

    def _heard(self, run: int) -> None:
        users = self.users
        users.people.sim.log("run acked", self.owner, self.key, run)
        if run not in users.people.truth.runs:
            if run not in users.undone:
                raise Violation(1, f"run {run} was acknowledged and is not in the store")
            return
        moved = self.run is not None and run != self.run
        if moved and self.key is not None and (self.owner, self.key) not in users.rekeyed:
            raise Violation(7, f"{self.owner} {self.key} got run {run} after {self.run}")
        self.run = run
        users.acked.add(run)

    def _again(self, tries: int) -> None:
        if self.run is None and self.key is not None and tries == self._tries:
            self.send()


class GraphUsers:
    """Everybody who has graphs carried out."""

    def __init__(self, people: "Users") -> None:
        self.people = people
        self.requests: list[RunRequest] = []
        self.undone: set[int] = set()
        """Runs that a rollback or a restore undid."""
        self.rekeyed: set[tuple[str, str]] = set()
        self.acked: set[int] = set()
        people.truth.on_rollback.append(self._rolled_back)

    def schedule(self) -> None:
        """Somebody schedules a graph."""
        rng = self.people.sim.rng
        graph, faults = checked(self._graph())
        assert not faults, faults
        key = f"graph-{len(self.requests)}" if rng.random() < 0.6 else None
        request = RunRequest(self, graph, f"user-{int(rng.random() * 3)}", key)
        self.requests.append(request)
        request.send()

    def cancel_any(self) -> None:
        """Somebody cancels a run, or one task of a run."""
        rng, truth = self.people.sim.rng, self.people.truth
        run = self._any_run()
        if run is None:
            return
        if rng.random() < 0.5:
            self._cancel(run)
        else:
            mine = [task.id for task in truth.open.values() if task.origin is not None and task.origin.run == run]
            if mine:
                self.people.cancel(mine[int(rng.random() * len(mine))])

    def rerun_any(self) -> None:
        """Somebody runs a graph again: what failed, from a step, or one item."""
        rng, run = self.people.sim.rng, self._any_run()
        if run is None or self.people.truth.runs[run].state not in RUN_OVER:
            return
        roll, step = rng.random(), f"s{int(rng.random() * self.people.truth.runs[run].steps)}"
        how: dict[str, Any] = {"only_failed": True} if roll < 0.5 else {"from_step": step}
        if roll > 0.8:
            how = {"item": (step, 0)}
        self.people.sim.log("rerun", run, *how)
        self.people.sim.struck.add("rerun")
        self.people.call(lambda server: server.rerun(run, f"user-{int(roll * 3)}", how))

    def tidy_up(self) -> None:
        """Cancel the runs with a step that would never end."""
        tasks = self.people.truth.open.values()
        endless = {task.origin.run for task in tasks if task.origin is not None and task.spec.name == ENDLESS}
        for run in [run.id for run in self.people.truth.live_runs() if run.id in endless]:
            self._cancel(run)

    def _cancel(self, run: int) -> None:
        self.people.sim.log("cancel run", run)
        self.people.sim.struck.add("cancelled run")
        self.people.call(lambda server: server.cancel_run(run))

    def settled(self) -> bool:
        """Whether every keyed request was answered and every run is over."""
        if self.people.truth.live_runs():
            return False
        return all(request.run is not None or request.key is None for request in self.requests)

    def unsettled(self) -> str:
        """What is not settled, for a failure message."""
        truth = self.people.truth
        runs = [
            f"{run.id} {run.state} " + ",".join(str(state) for state in truth.states(run.key_of(0), run.steps).values())
            for run in truth.live_runs()
        ]
        unanswered = [request.key for request in self.requests if request.run is None and request.key is not None]
        return f"runs {runs}, unanswered {unanswered}"

    def still_there(self) -> None:
        """Look for every acknowledged run, and for tasks of runs that are over."""
        truth = self.people.truth
        for run in self.acked:
            if run not in truth.runs:
                raise Violation(1, f"run {run} was acknowledged and is gone")

    def runs_left(self) -> int:
        """How many attempts the runs that are not over may still take, at most."""
        return sum(12 * run.steps for run in self.people.truth.live_runs())

    def _any_run(self) -> int | None:
        runs = sorted(self.people.truth.runs)
        return runs[int(self.people.sim.rng.random() * len(runs))] if runs else None

    def _rolled_back(self, undone: Any) -> None:
        truth = self.people.truth
        runs = {key for table, key, _, again in undone if table is truth.runs and again is None}
        claims = {key for table, key, _, _ in undone if table is truth.claims}
        self.undone |= runs
        self.rekeyed |= claims
        self.acked -= runs
        for request in self.requests:
            request.lost(runs, claims)

    def _graph(self) -> Graph:
        """A chain, a diamond, a fan with a join, or whatever chance brings."""
        rng = self.people.sim.rng
        count = 2 + int(rng.random() ** 2 * 9)
        kind = int(rng.random() * 4)
        steps: list[Step] = []
        for at in range(count):
            if kind == 0:
                parents = [at - 1] if at else []
            elif kind == 1:
                parents = [] if at == 0 else [0] if at < count - 1 else list(range(max(1, count - 5), at))
            elif kind == 2:
                parents = list(range(at)) if at == count - 1 else []
            else:
                parents = [parent for parent in range(at) if rng.random() < 0.3]
            steps.append(self._step(at, parents, last=at == count - 1))
        return Graph(name="graph", steps=steps)

    def _step(self, at: int, parents: list[int], *, last: bool) -> Step:
        rng = self.people.sim.rng
        names = [f"s{parent}" for parent in parents]
        roll = rng.random()
        retry = RetryPolicy(attempts=1 + int(rng.random() * 3), backoff_seconds=rng.random())
        if last and roll < 0.2:
            return Step(
                id=f"s{at}", always=True, payload=_SCRIPT, retry=retry, dependencies=names if roll < 0.1 else []
            )
        soft = [name for name in names if rng.random() < 0.15]
        hard = [name for name in names if name not in soft]
        if roll < 0.4:
            literal = list(range(int(rng.random() ** 2 * 8)))
            source = From(hard[0], "/list") if hard and roll < 0.3 else None
            return Step(
                id=f"s{at}", type="parallel", payload=_SCRIPT, items=literal if source is None else source, retry=retry,
                dependencies=hard, soft_dependencies=soft, enough=0.5 if roll < 0.25 else 1.0,
            )  # fmt: skip
        if self.people.endless_share and rng.random() < self.people.endless_share:
            return Step(id=f"s{at}", name=ENDLESS, payload=_SCRIPT, dependencies=hard, retry=retry)
        payload = None if names and roll < 0.55 else _SCRIPT
        return Step(id=f"s{at}", name=LISTER, payload=payload, dependencies=hard, soft_dependencies=soft, retry=retry)
