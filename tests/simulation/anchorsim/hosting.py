"""What a simulated machine hosts: replicas that build, start, fail, drain and end, and what it says of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anchor.core.app import App, Replica, ReplicaState
from anchor.core.attempt import Reason
from anchor.wire.link import ReplicaStatus
from anchorsim.network import Connection

if TYPE_CHECKING:
    from anchorsim.agent import Agent

SAY_MS = 2_000
"""How often it says what it has though nothing changed."""
GOOD, BROKEN, SILENT, SHAKY = "good", "broken", "silent", "shaky"
"""Sources: one that works, one that does not build, one that never gets healthy, one that ends now and then."""
Key = tuple[int, int]


@dataclass(frozen=True)
class Item:
    """A replica as a server asks for it."""

    app: int
    generation: int
    source: str
    drains: bool


@dataclass
class Running:
    """A replica that is there."""

    item: Item
    state: str
    since: int
    reason: Reason | None = None


def items_of(replicas: Sequence[tuple[App, Replica]]) -> list[Item]:
    """What a node is told of these replicas."""
    items = []
    for app, replica in replicas:
        release = app.release(replica.release)
        source = release.source if release is not None else GOOD
        items.append(Item(app.id, replica.generation, source, replica.state is ReplicaState.DRAINING))
    return items


class SimHosting:
    """The replicas on one machine; all of them end with a life of its agent."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self._sim = agent.sim
        self.running: dict[Key, Running] = {}
        self._stopped: list[Key] = []
        self.fail_share = 0.0
        self.on_stop: Callable[[str, int, int], None] | None = None

    def want(self, items: Sequence[Item]) -> None:
        """Run these and nothing else."""
        wanted = {(item.app, item.generation): item for item in items}
        for key, one in list(self.running.items()):
            if key not in wanted or wanted[key].source != one.item.source:  # given out again after a rollback
                if self.on_stop is not None:
                    self.on_stop(self._agent.name, *key)
                self._stop(key)
        for key, item in wanted.items():
            known = self.running.get(key)
            if known is None and not item.drains:
                self.running[key] = started = Running(item, "building", self._sim.now)
                self._soon(key, started, 5, 400)
            elif known is not None and item.drains and known.state != "draining":
                self._move(key, known, "draining")
                self._soon(key, known, 20, 1_500)
        self.say()

    def statuses(self) -> list[ReplicaStatus]:
        """Everything there is."""
        said = [
            ReplicaStatus(app, generation, one.state, one.since, reason=one.reason)  # type: ignore[arg-type]
            for (app, generation), one in self.running.items()
        ]
        said += [ReplicaStatus(app, generation, "stopped", self._sim.now) for app, generation in self._stopped]
        self._stopped = []
        return said

    def say(self) -> None:
        """Say what there is to the server it is connected to."""
        connection = self._agent.connection
        if connection is not None and self._agent.session and self._agent.hosts:
            connection.up("hosted", self.statuses())

    def say_again(self, connection: Connection) -> None:
        """Say it now and then, while this connection lasts."""
        if self._agent.connection is connection:
            self.say()
            self._agent.soon(SAY_MS, self.say_again, connection)

    def _soon(self, key: Key, one: Running, least_ms: int, most_ms: int) -> None:
        wait = least_ms + int(self._sim.rng.random() * (most_ms - least_ms))
        self._agent.soon(wait, self._go_on, key, one, one.state)

    def _go_on(self, key: Key, one: Running, state: str) -> None:
        """What comes after a state, unless something else came first."""
        if self.running.get(key) is not one or one.state != state:
            return
        source, failed = one.item.source, self._sim.rng.random() < self.fail_share
        if state == "draining":
            self._stop(key)
        elif state == "building" and source == BROKEN:
            self._fail(key, one, "build_failed")
        elif failed and state != "failed":
            self._fail(key, one, "crash_loop")
        elif state == "building":
            self._move(key, one, "starting")
            self._soon(key, one, 20, 900)
        elif state in ("starting", "unhealthy") and source != SILENT:
            self._move(key, one, "healthy")
            if source == SHAKY or self.fail_share:
                self._soon(key, one, 1_000, 8_000)
        elif state == "healthy" and self.fail_share:
            self._move(key, one, "unhealthy" if self._sim.rng.random() < 0.5 else "starting")
            self._soon(key, one, 20, 2_000)
        self.say()

    def _fail(self, key: Key, one: Running, code: str) -> None:
        one.reason = Reason(code, f"It failed on {self._agent.name}.")
        self._move(key, one, "failed")

    def _move(self, key: Key, one: Running, state: str) -> None:
        one.state, one.since = state, self._sim.now
        self._sim.log("replica", self._agent.name, *key, state)

    def _stop(self, key: Key) -> None:
        del self.running[key]
        self._stopped.append(key)
        self._sim.log("replica", self._agent.name, *key, "stopped")
