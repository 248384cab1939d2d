"""One seed, one cluster, one run: built, tormented, left in peace, and checked to the end."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from anchor.core.attempt import Outcome
from anchor.core.node import Node, Profile, Status
from anchor.core.task import State
from anchorsim.agent import Agent, Bugs, Nature
from anchorsim.invariants import Invariants
from anchorsim.network import Weather
from anchorsim.ports import SimReady
from anchorsim.scheduler import EPOCH_MS, Simulator, Violation
from anchorsim.server import LEASE_MS, Server
from anchorsim.truth import SimStore, Truth
from anchorsim.users import Users

BACKOFF_CAP_MS = 60_000
TORMENT_MS = 40_000
LINGER_MS = 2_500
"""How long a run goes on after everything has ended, so that late frames may still do harm."""

FAULTS = (
    "server crash", "server pause", "agent crash", "agent pause", "cut", "hang up", "flush", "operate", "cancel",
    "drop", "double", "lossy hints", "double hints", "slow", "unknown", "refused", "cancelled handlers", "long runs",
    "rejects", "nowhere",
)  # fmt: skip
_AT_TIMES = FAULTS[:9]


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
    steps: frozenset[tuple[State, State]]
    outcomes: frozenset[Outcome]


class Cluster:
    """Servers, agents and users of one seed."""

    def __init__(self, seed: int, wiring: Wiring) -> None:
        self.sim = sim = Simulator(seed)
        self.rng: random.Random = sim.rng
        rng = self.rng
        self.faults = frozenset(fault for fault in FAULTS if rng.random() < 0.45)
        self.truth = Truth(sim)
        self.truth.blind = wiring.blind
        self.weather = Weather(latency_ms=1 + int(rng.random() ** 2 * 300))
        self.agents: list[Agent] = []
        by_name: dict[str, Agent] = {}
        self.invariants = Invariants(sim, self.truth, by_name, lease_ms=LEASE_MS)
        self.readies: list[SimReady] = []
        count = 1 if rng.random() < 0.5 else 2 + int(rng.random() * 2)
        shared = self._new_ready() if count > 1 else None
        self.servers = [
            Server(sim, self.truth, f"server-{at}", at, self._ready_maker(shared), wiring.store, self._tell_others)
            for at in range(count)
        ]
        nature = Nature(
            run_ms_max=20 + int(rng.random() ** 2 * 2_500),
            long_share=0.15 if "long runs" in self.faults else 0.0,
            reject_share=0.1 if "rejects" in self.faults else 0.0,
        )
        for at in range(1 + int(rng.random() * 5)):
            agent = Agent(
                sim, self.truth, self.weather, f"NOD-{at}", 1 + int(rng.random() ** 2 * 8), self.servers, nature,
                self.invariants.forgotten, wiring.bugs,
            )  # fmt: skip
            if at == 0 or rng.random() < 0.6:
                agent.profile = Profile(host=agent.name, cores=4, ram=8.0, runtimes={"isolate": "1"})
            self.agents.append(agent)
            by_name[agent.name] = agent
            self.truth.nodes[agent.name] = Node(id=agent.name, owner="o", public_key=b"", joined_at=sim.now)
        self.nature = nature
        self.users = Users(sim, self.truth, self.weather, self.servers, self.invariants)

    def torment(self) -> None:
        """Run with faults."""
        sim, rng, faults = self.sim, self.rng, self.faults
        self.weather.drop = 0.02 + rng.random() * 0.1 if "drop" in faults else 0.0
        self.weather.double = 0.1 if "double" in faults else 0.0
        sim.slow_share = 0.01 + rng.random() * 0.02 if "slow" in faults else 0.0
        sim.unknown_share = 0.02 if "unknown" in faults else 0.0
        sim.refused_share = 0.03 if "refused" in faults else 0.0
        self.users.nowhere_share = 0.15 if "nowhere" in faults else 0.0
        for server in self.servers:
            server.cancels_handlers = "cancelled handlers" in faults
            server.start()
        for agent in self.agents:
            agent.start()
        for _ in range(4 + int(rng.random() * 30)):
            sim.after(int(rng.random() * TORMENT_MS), self.users.submit)
        at_times = [fault for fault in _AT_TIMES if fault in faults]
        if at_times:
            sim.after(int(rng.random() * 2_000), self._strike, at_times, 300 + int(rng.random() * 4_000))
        sim.run(EPOCH_MS + TORMENT_MS)

    def rest(self) -> tuple[int, int]:
        """Run without faults until everything has ended: how long it took and the longest it may, in ms."""
        sim = self.sim
        sim.log("faults end")
        self.weather.clear()
        sim.slow_share = sim.unknown_share = sim.refused_share = 0.0
        self.nature.reject_share = self.nature.long_share = 0.0
        for ready in self.readies:
            ready.loss = ready.doubling = 0.0
        for server in self.servers:
            server.cancels_handlers = False
            server.host.paused_until = 0
            if not server.up:
                server.start()
        for agent in self.agents:
            agent.host.paused_until = 0
            if not agent.host.alive:
                agent.start()
        began = sim.now
        bound = self._bound_ms()
        self._tidy()
        if not sim.run(began + bound, stop=self.users.settled):
            raise Violation(6, f"not everything has ended {bound} ms after the faults: {self.users.unsettled()}")
        took = sim.now - began
        sim.run(sim.now + LINGER_MS)
        self.invariants.still_there()
        return took, bound

    def _bound_ms(self) -> int:
        """2 x (lease + backoff cap), plus the time in which the slots can work off all that may still have to run."""
        runs = sum(task.spec.retry.attempts for task in self.truth.open.values()) + 4 * len(self.users.requests)
        longest = max(self.nature.run_ms_max, 2 * LEASE_MS if "long runs" in self.faults else 0)
        slots = self.agents[0].slots  # the one machine that can run everything
        return 2 * (LEASE_MS + BACKOFF_CAP_MS) + runs * longest // slots + longest

    def _tidy(self) -> None:
        self.users.tidy_up()
        if not self.users.settled():
            self.sim.after(1_000, self._tidy)

    def _strike(self, at_times: list[str], every_ms: int) -> None:
        sim, rng = self.sim, self.rng
        if sim.now >= EPOCH_MS + TORMENT_MS:
            return
        self._fault(at_times[int(rng.random() * len(at_times))])
        sim.after(int(rng.random() * every_ms), self._strike, at_times, every_ms)

    def _fault(self, fault: str) -> None:
        sim, rng = self.sim, self.rng
        server = self.servers[int(rng.random() * len(self.servers))]
        agent = self.agents[int(rng.random() * len(self.agents))]
        long = int(rng.random() ** 3 * 2.5 * LEASE_MS)
        match fault:
            case "server crash" if server.up:
                server.crash()
                sim.after(10 + long, self._start_again, server)
            case "server pause" if server.up:
                server.pause(long)
            case "agent crash" if agent.host.alive:
                agent.crash()
                sim.after(10 + long, self._start_again, agent)
            case "agent pause" if agent.host.alive:
                agent.pause(long)
            case "cut":
                ways = int(rng.random() * 3)
                sim.log("cut", agent.name, server.name, ways, long)
                if ways != 1:
                    self.weather.cuts[agent.name, server.name] = sim.now + long
                if ways != 0:
                    self.weather.cuts[server.name, agent.name] = sim.now + long
            case "hang up":
                agent.hang_up()
            case "flush":
                for ready in self.readies:
                    ready.flush()
            case "operate":
                wish = (Status.DRAINING, Status.DRAINING, Status.BLOCKED, Status.READY)[int(rng.random() * 4)]
                self.users.operate(agent.name, wish)
            case "cancel":
                self.users.cancel_any()

    def _start_again(self, machine: Server | Agent) -> None:
        if not machine.host.alive:
            machine.start()

    def _new_ready(self) -> SimReady:
        ready = SimReady(
            self.sim,
            loss=0.2 if "lossy hints" in self.faults else 0.0,
            doubling=0.2 if "double hints" in self.faults else 0.0,
        )
        self.readies.append(ready)
        return ready

    def _ready_maker(self, shared: SimReady | None) -> Callable[[], SimReady]:
        return self._new_ready if shared is None else lambda: shared

    def _tell_others(self, speaker: Server) -> None:
        for server in self.servers:
            if server is not speaker and self.rng.random() < 0.7:
                self.sim.after(1 + int(self.rng.random() * 5), server.hear_of_work)


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
