"""One seed, one cluster, one run: built, tormented, left in peace, and checked to the end."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from anchor.core.attempt import Outcome
from anchor.core.ids import born_ms
from anchor.core.node import Node
from anchor.core.task import State
from anchorsim.agent import Agent, Bugs, Nature
from anchorsim.app_rules import AppRules
from anchorsim.app_users import AppUsers
from anchorsim.clocks import SWING_MS_MAX, ServerClock
from anchorsim.graph_rules import GraphRules
from anchorsim.invariants import Invariants
from anchorsim.network import Weather
from anchorsim.ports import SharedReady, SimReady
from anchorsim.restores import Restores
from anchorsim.round_rules import RoundRules
from anchorsim.scheduler import EPOCH_MS, Simulator, Violation
from anchorsim.server import LEASE_MS, Server, Site
from anchorsim.store import SimStore
from anchorsim.swarm import Swarm, drawn_apps, drawn_faults
from anchorsim.truth import BACKOFF_CAP_MS, Truth
from anchorsim.users import Users

TORMENT_MS = 40_000
LINGER_MS = 2_500
"""How long a run goes on after everything has ended, so that late frames may still do harm."""
LOOK_MS = 500
"""How often a run in peace is looked at for what is not a write."""


@dataclass
class Wiring:
    """What a planted bug may exchange when a cluster is put together."""

    store: Callable[[Truth], SimStore] = SimStore
    bugs: Bugs = field(default_factory=Bugs)
    blind: bool = False


class Failure(AssertionError):
    """A run that broke an invariant: seed, invariant and the last events."""

    def __init__(self, seed: int, violation: Violation, trace: list[tuple[Any, ...]]) -> None:
        events = "\n".join("  " + " ".join(map(str, event)) for event in trace[-50:])
        super().__init__(f"seed {seed}: {violation}\nthe last {min(50, len(trace))} events (ms, what):\n{events}")
        self.seed = seed
        self.number = violation.number


@dataclass(frozen=True)
class Report:
    """How a run went. `events` and `fingerprint` are of its trace; times in virtual ms."""

    seed: int
    events: int
    fingerprint: str
    tasks: int
    settled_after_ms: int
    bound_ms: int
    faults: frozenset[str]
    struck: frozenset[str]
    reported: int
    steps: frozenset[tuple[State, State]]
    outcomes: frozenset[Outcome]


class Cluster:
    """Servers, agents and users of one seed."""

    def __init__(self, seed: int, wiring: Wiring) -> None:
        self.sim = sim = Simulator(seed)
        self.rng: random.Random = sim.rng
        rng = self.rng
        self.truth = Truth(sim)
        self.truth.blind = wiring.blind
        self.weather = Weather(latency_ms=1 + int(rng.random() ** 2 * 300))
        self.agents: list[Agent] = []
        by_name: dict[str, Agent] = {}
        self.invariants = Invariants(sim, self.truth, by_name, lease_ms=LEASE_MS)
        self.graph_rules = GraphRules(self.truth)
        self.round_rules = RoundRules(self.truth)
        self.app_rules = AppRules(self.truth)
        self.readies: list[SimReady] = []
        count = 1 if rng.random() < 0.5 else 2 + int(rng.random() * 2)
        self.faults = faults = drawn_faults(rng, servers=count) | drawn_apps(seed)
        self.truth.remembers = "rollback" in faults
        self.wall_ms = 0
        self.bus_loss = 0.0
        alone = count == 1
        self.truth.shared = not alone
        shared = None if alone else self._new_ready()
        site = Site(
            truth=self.truth,
            alone=alone,
            make_ready=lambda host: self._new_ready() if shared is None else SharedReady(sim, host, shared),
            make_store=wiring.store,
            hosts_apps="apps" in faults,
            clock=self._clock_alone if alone else self._clock_among_others,
            others=self._others_of,
        )
        self.servers = [Server(sim, f"server-{at}", site) for at in range(count)]
        nature = Nature(
            run_ms_max=20 + int(rng.random() ** 2 * 2_500),
            long_share=0.15 if "long runs" in self.faults else 0.0,
            reject_share=0.1 if "rejects" in self.faults else 0.0,
        )
        checked = "checked" in faults
        for at in range(5 if checked else 1 + int(rng.random() * 5)):
            agent = Agent(
                sim, self.truth, self.weather, f"NOD-{at}", 1 + int(rng.random() ** 2 * 8), self.servers, nature,
                self.invariants.forgotten, wiring.bugs,
            )  # fmt: skip
            if checked and at == 4:
                agent.lies = "constant" if rng.random() < 0.5 else "random"
            if checked or at == 0 or rng.random() < 0.6:
                agent.profile = replace(agent.profile, runtimes={"isolate": "1"}, features=("inputs", "seals"))
            if "apps" in faults:
                agent.profile = replace(agent.profile, features=(*agent.profile.features, "apps"))
            self.agents.append(agent)
            by_name[agent.name] = agent
            self.truth.nodes[agent.name] = Node(id=agent.name, owner=f"owner-{at}", public_key=b"", joined_at=sim.now)
            # A list that comes twice, or from a truth that was put back, may be old; the next one mends what it does.
            if faults.isdisjoint(("double", "rollback", "restore")):
                agent.hosting.on_stop = self.app_rules.stopped
        self.nature = nature
        self.swarm = Swarm(self)
        self.restores = Restores(self)
        self.users = Users(sim, self.truth, self.weather, self.servers, self.invariants)
        self.apps = AppUsers(self.users, by_name, self.app_rules)

    def torment(self) -> None:
        """Run with faults."""
        sim, rng, faults = self.sim, self.rng, self.faults
        self.swarm.gather()
        for server in self.servers:
            server.cancels_handlers = "cancelled handlers" in faults
            server.start()
        for agent in self.agents:
            agent.start()
        for _ in range(4 + int(rng.random() * 30)):
            sim.after(int(rng.random() * TORMENT_MS), self.users.submit)
        if "graphs" in faults:
            sim.struck.add("graphs")
            for _ in range(1 + int(rng.random() * 5)):
                sim.after(int(rng.random() * TORMENT_MS), self.users.graphs.schedule)
                sim.after(int(rng.random() * TORMENT_MS), self.users.graphs.rerun_any)
        if "apps" in faults:
            self.apps.begin(TORMENT_MS)
        self.swarm.strike_until(EPOCH_MS + TORMENT_MS)
        sim.run(EPOCH_MS + TORMENT_MS)

    def rest(self) -> tuple[int, int]:
        """Run without faults until everything has ended: how long it took and the longest it may, in ms."""
        sim = self.sim
        sim.log("faults end")
        self.swarm.disperse()
        for server in self.servers:
            server.cancels_handlers = False
            server.host.paused_until = 0
            if not server.up and not self.restores.busy:
                server.start()
        for agent in self.agents:
            agent.host.paused_until = 0
            if not agent.host.alive:
                agent.start()
        began = sim.now
        bound = self._bound_ms()
        self._tidy()
        sim.after(LOOK_MS, self._look)
        if not sim.run(began + bound, stop=self.users.settled):
            raise Violation(6, f"not everything has ended {bound} ms after the faults: {self.users.unsettled()}")
        took = sim.now - began
        sim.run(sim.now + LINGER_MS)
        self.apps.converge()
        self.invariants.still_there()
        self.users.graphs.still_there()
        return took, bound

    def _bound_ms(self) -> int:
        """2 x (lease + backoff cap), plus the time in which the slots can work off all that may still have to run."""
        runs = sum(task.spec.retry.attempts for task in self.truth.open.values()) + 4 * len(self.users.requests)
        runs += self.users.graphs.runs_left()
        longest = max(self.nature.run_ms_max, 2 * LEASE_MS if "long runs" in self.faults else 0)
        slots = self.agents[0].slots  # the one machine that can run everything
        return 2 * (LEASE_MS + BACKOFF_CAP_MS) + runs * longest // slots + longest

    def _tidy(self) -> None:
        self.users.tidy_up()
        if not self.users.settled():
            self.sim.after(1_000, self._tidy)

    def _look(self) -> None:
        self.invariants.still_running()
        self.sim.after(LOOK_MS, self._look)

    def _new_ready(self) -> SimReady:
        ready = SimReady(
            self.sim,
            loss=0.2 if "lossy hints" in self.faults else 0.0,
            doubling=0.2 if "double hints" in self.faults else 0.0,
        )
        self.readies.append(ready)
        return ready

    def operators_clock(self) -> ServerClock:
        """The clock of whoever declares a truth restored, who looks at it as a server does."""
        if len(self.servers) > 1:
            return self._clock_among_others(0)
        truth = self.truth
        return self._clock_alone(max(born_ms(truth.last_key()), truth.newest_ms(LEASE_MS)))

    def _clock_alone(self, newest_ms: int) -> ServerClock:
        if self.wall_ms:
            self.sim.struck.add("wall clock")
        return ServerClock(self.sim, offset_ms=self.wall_ms, not_before_ms=newest_ms)

    def _clock_among_others(self, newest_ms: int) -> ServerClock:
        swing_ms = int(self.rng.random() * SWING_MS_MAX) if "skew" in self.faults else 0
        if swing_ms:
            self.sim.struck.add("skew")
        return ServerClock(self.sim, swing_ms=swing_ms)

    def _others_of(self, speaker: Server) -> Iterable[Server]:
        for server in self.servers:
            if server is speaker:
                continue
            if self.bus_loss and self.rng.random() < self.bus_loss:
                self.sim.struck.add("lossy bus")
            else:
                yield server


def run_seed(seed: int, wiring: Wiring | None = None) -> Report:
    """Run one seed to its end; Failure where an invariant broke."""
    cluster = Cluster(seed, wiring or Wiring())
    try:
        cluster.torment()
        took, bound = cluster.rest()
    except Violation as violation:
        raise Failure(seed, violation, cluster.sim.trace) from violation
    finally:
        cluster.sim.close()
    return Report(
        seed=seed,
        events=len(cluster.sim.trace),
        fingerprint=cluster.sim.fingerprint(),
        tasks=len(cluster.truth.tasks),
        settled_after_ms=took,
        bound_ms=bound,
        faults=cluster.faults,
        struck=frozenset(cluster.sim.struck),
        reported=cluster.invariants.reported,
        steps=frozenset(cluster.invariants.steps_seen),
        outcomes=frozenset(cluster.invariants.outcomes_seen),
    )


def first_failure(seeds: Iterable[int], wiring: Wiring | None = None) -> Failure | None:
    """Run seeds until one fails."""
    for seed in seeds:
        try:
            run_seed(seed, wiring)
        except Failure as failure:
            return failure
    return None
