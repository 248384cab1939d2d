"""The faults of a seed: a random choice of them, each at a rate of its own, so that rare ones meet undrowned."""

import random
from typing import TYPE_CHECKING

from anchor.core.node import Status
from anchorsim.clocks import WALL_STEP_MS
from anchorsim.server import LEASE_MS, Server

if TYPE_CHECKING:
    from anchorsim.agent import Agent
    from anchorsim.cluster import Cluster

AT_TIMES = (
    "server crash", "server pause", "agent crash", "agent pause", "cut", "hang up", "flush", "operate", "cancel",
    "store outage", "queue outage", "rollback", "wall clock", "restore",
)  # fmt: skip
"""Faults that strike now and then."""
FAULTS = (
    *AT_TIMES, "drop", "double", "lossy hints", "double hints", "lossy bus", "slow", "unknown", "refused",
    "cancelled handlers", "long runs", "rejects", "nowhere", "endless", "skew",
    "graphs", "checked",
)  # fmt: skip
DRAWN = frozenset({*FAULTS, "apps"})
"""All that a seed may have."""
_OF_MANY = frozenset({"queue outage", "rollback", "lossy bus", "skew"})
"""Faults of what servers share; they need several."""
_OF_ONE = frozenset({"wall clock"})
"""Faults of a server that has no store's time to go by."""
_SHARES = {"rollback": 0.25, "restore": 0.15, "checked": 0.2}
"""How often a fault is chosen; the others are at 45 %. These two excuse some checks, so they are rare."""
ROLLBACK_MS_MAX = 600
APPS_SHARE = 0.1


def drawn_faults(rng: random.Random, *, servers: int) -> frozenset[str]:
    """A choice of the faults that this many servers can have."""
    drawn = {fault for fault in FAULTS if rng.random() < _SHARES.get(fault, 0.45)}
    return frozenset(drawn - (_OF_MANY if servers == 1 else _OF_ONE))


def drawn_apps(seed: int) -> frozenset[str]:
    """Whether a seed has apps; drawn apart, so that one without them is the run it would be if there were none."""
    return frozenset({"apps"}) if random.Random(seed ^ 0xA115).random() < APPS_SHARE else frozenset()


class Swarm:
    """Brings a cluster's faults about, and ends them."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._sim = cluster.sim
        self._rng = cluster.rng
        self._until = 0
        self._at_times: list[str] = []

    def gather(self) -> None:
        """Begin with the faults that are there all the time."""
        cluster, sim, rng, faults = self._cluster, self._sim, self._rng, self._cluster.faults
        cluster.weather.drop = 0.02 + rng.random() * 0.1 if "drop" in faults else 0.0
        cluster.weather.double = 0.1 if "double" in faults else 0.0
        sim.slow_share = 0.01 + rng.random() * 0.02 if "slow" in faults else 0.0
        sim.unknown_share = 0.01 + rng.random() * 0.08 if "unknown" in faults else 0.0
        sim.refused_share = 0.03 if "refused" in faults else 0.0
        cluster.bus_loss = 0.5 if "lossy bus" in faults else 0.0
        cluster.users.nowhere_share = 0.15 if "nowhere" in faults else 0.0
        cluster.users.checked_share = 0.3 if "checked" in faults else 0.0
        cluster.users.endless_share = 0.1 if "endless" in faults else 0.0
        for agent in cluster.agents:
            agent.hosting.fail_share = 0.1 if "apps" in faults else 0.0

    def disperse(self) -> None:
        """End every fault."""
        cluster, sim = self._cluster, self._sim
        cluster.weather.clear()
        sim.slow_share = sim.unknown_share = sim.refused_share = 0.0
        sim.outages.clear()
        cluster.bus_loss = 0.0
        cluster.restores.end()
        for agent in cluster.agents:
            agent.hosting.fail_share = 0.0
        for ready in cluster.readies:
            ready.loss = ready.doubling = 0.0

    def strike_until(self, until: int) -> None:
        """Let the other faults strike, one at a time, up to a time (Unix ms)."""
        rng = self._rng
        self._until = until
        self._at_times = [fault for fault in AT_TIMES if fault in self._cluster.faults]
        if self._at_times:
            self._sim.after(int(rng.random() * 2_000), self._strike, 300 + int(rng.random() * 4_000))

    def _strike(self, every_ms: int) -> None:
        rng = self._rng
        if self._sim.now < self._until:
            self._fault(self._at_times[int(rng.random() * len(self._at_times))])
            self._sim.after(int(rng.random() * every_ms), self._strike, every_ms)

    def _fault(self, fault: str) -> None:
        if self._brought_about(fault):
            self._sim.struck.add(fault)

    def _brought_about(self, fault: str) -> bool:
        cluster, sim, rng = self._cluster, self._sim, self._rng
        server = cluster.servers[int(rng.random() * len(cluster.servers))]
        agent = cluster.agents[int(rng.random() * len(cluster.agents))]
        long = int(rng.random() ** 3 * 2.5 * LEASE_MS)
        match fault:
            case "server crash" if server.up:
                server.crash()
                sim.after(200 + long, self._start_again, server)
            case "server pause" if server.up:
                server.pause(long)
            case "agent crash" if agent.host.alive:
                agent.crash()
                sim.after(10 + long, self._start_again, agent)
            case "agent pause" if agent.host.alive:
                agent.pause(long)
            case "cut":
                self._cut(agent, server, long)
            case "hang up":
                agent.hang_up()
            case "flush":
                for ready in cluster.readies:
                    ready.flush()
            case "operate":
                wish = (Status.DRAINING, Status.DRAINING, Status.BLOCKED, Status.READY)[int(rng.random() * 4)]
                cluster.users.operate(agent.name, wish)
            case "cancel":
                cluster.users.cancel_any()
                if "graphs" in cluster.faults:
                    cluster.users.graphs.cancel_any()
            case "store outage" | "queue outage":
                host = "" if rng.random() < 0.4 else server.name
                sim.log(fault, host, long)
                sim.outages[fault.partition(" ")[0], host] = sim.now + long
                return False  # whoever calls meanwhile brings it about
            case "rollback":
                return cluster.truth.roll_back(1 + int(rng.random() * ROLLBACK_MS_MAX)) > 0
            case "restore":
                return cluster.restores.strike()
            case "wall clock":
                cluster.wall_ms = (-WALL_STEP_MS, 0, WALL_STEP_MS)[int(rng.random() * 3)]
                sim.log("wall clock", cluster.wall_ms)
                return False  # a server that starts with it brings it about
            case _:
                return False
        return True

    def _cut(self, agent: "Agent", server: Server, ms: int) -> None:
        ways, cuts = int(self._rng.random() * 3), self._cluster.weather.cuts
        self._sim.log("cut", agent.name, server.name, ways, ms)
        if ways != 1:
            cuts[agent.name, server.name] = self._sim.now + ms
        if ways != 0:
            cuts[server.name, agent.name] = self._sim.now + ms

    def _start_again(self, machine: "Server | Agent") -> None:
        if isinstance(machine, Server) and self._cluster.restores.busy:
            return  # whoever restores starts it
        if not machine.host.alive:
            machine.start()
