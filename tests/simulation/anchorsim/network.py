"""Connections between agents and servers: in order within one, at will between them, with loss, doubling and delay."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from anchorsim.scheduler import Simulator

Frame = tuple[str, Any]


@dataclass
class Weather:
    """How bad the network is; `cuts` maps (from, to) to the time (Unix ms) until which nothing gets through."""

    drop: float = 0.0
    double: float = 0.0
    latency_ms: int = 20
    cuts: dict[tuple[str, str], int] = field(default_factory=dict)

    def clear(self) -> None:
        """Make it a good network."""
        self.drop = self.double = 0.0
        self.latency_ms = 5
        self.cuts.clear()


class Connection:
    """One connection. Each end learns late, or never, that the other has closed it."""

    def __init__(
        self,
        sim: Simulator,
        weather: Weather,
        *,
        agent: str,
        server: str,
        to_agent: Callable[["Connection", Frame], None],
        to_server: Callable[["Connection", Frame], None],
    ) -> None:
        self._sim = sim
        self._weather = weather
        self.agent = agent
        self.server = server
        self.session = 0
        self.agent_end_open = True
        self.server_end_open = True
        self.hung_up = False
        self._to_agent = to_agent
        self._to_server = to_server
        self._up_free = 0
        self._down_free = 0

    def up(self, kind: str, body: Any = None) -> None:
        """Agent to server."""
        self._up_free = self._carry(self.agent, self.server, self._up_free, self._arrive_up, (kind, body))

    def down(self, kind: str, body: Any = None) -> None:
        """Server to agent."""
        if self.server_end_open:
            self._down_free = self._carry(self.server, self.agent, self._down_free, self._arrive_down, (kind, body))

    def close_agent_end(self) -> None:
        """The agent hangs up: what is on its way to the server still arrives, answers do not."""
        if self.agent_end_open:
            self.up("closed")
            self.agent_end_open = False

    def close_server_end(self) -> None:
        """The server hangs up."""
        if self.server_end_open:
            self.down("closed")
            self.server_end_open = False

    def _carry(self, source: str, target: str, free: int, arrive: Callable[[Frame], None], frame: Frame) -> int:
        sim, weather = self._sim, self._weather
        when = max(free, sim.now + 1 + int(sim.rng.random() * weather.latency_ms))
        cut = weather.cuts.get((source, target), 0)
        if cut > sim.now:
            # What is sent into a partition is lost with its connection, or was buffered and comes late.
            if sim.rng.random() < 0.5:
                return free
            when = max(when, cut)
        if weather.drop and sim.rng.random() < weather.drop:
            sim.struck.add("drop")
            sim.log("lost", source, target, frame[0])
            return free
        sim.at(when, arrive, frame)
        if weather.double and sim.rng.random() < weather.double:
            sim.struck.add("double")
            sim.at(when + int(sim.rng.random() * 400), arrive, frame)
        return when

    def _arrive_up(self, frame: Frame) -> None:
        if self.server_end_open:
            self._to_server(self, frame)

    def _arrive_down(self, frame: Frame) -> None:
        if self.agent_end_open:
            self._to_agent(self, frame)
