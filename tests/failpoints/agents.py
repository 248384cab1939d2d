"""The tour of an agent, the real program: it joins, works, is killed and comes back. It dies, its server does not."""

import signal
from pathlib import Path
from typing import Any

import httpx
from tests.failpoints.engines import EngineSet
from tests.failpoints.launch import Died, Program
from tests.failpoints.tour import Step, Tour, spec

LABEL = "agent"
LARGE = "z" * 70_000
ONCE = "if (anchor.attempt === 1) throw new Error('not this time'); return input.value"
FOR_EVER = "while (anchor.attempt === 1); return input.value"


class AgentTour(Tour):
    """A server that lives, and an agent that may die."""

    def __init__(self, directory: Path, engines: EngineSet, port: int) -> None:
        super().__init__(directory, engines, port)
        self._agent_data = directory / "machine"
        self.agent = Program(
            directory / "agent.log", "agent", self.server.url, "--data", str(self._agent_data), "--label", LABEL
        )

    def start(self, **settings: Any) -> None:
        """The server, which nothing happens to, and the agent."""
        self.server.start(**settings)
        self.start_agent()

    def start_agent(self) -> None:
        """Start the agent as its owner would: with a new join token as long as it has not joined."""
        token = []
        if not (self._agent_data / "agent" / "node.id").exists():
            answer = super().ask("POST", "/api/nodes/join-tokens", json={})
            token = ["--token", answer.json()["token"]]
        self.agent.start(*token, failpoint=self.failpoint)

    def come_back(self) -> None:
        """Start the agent again."""
        self.start_agent()

    def kill_agent(self) -> None:
        """SIGKILL, and start it again."""
        self.seen_to_die(self.agent.end(signal.SIGKILL), expected=-signal.SIGKILL)
        self.start_agent()

    def ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        """What the server says; Died where the agent did meanwhile."""
        if not self.agent.alive:
            raise Died(self.agent.wait())
        return super().ask(method, path, **what)

    def everybody_works(self) -> None:
        """The agent does."""

    def close(self) -> None:
        """Leave nothing running."""
        if self.agent.alive:
            self.agent.end(signal.SIGKILL)
        super().close()


def whole(key: str, value: object, name: str = "whole") -> dict[str, Any]:
    return spec("", value, LABEL, name=name, payload={"input": {"key": key, "value": value}})


def script(code: str, value: object) -> dict[str, Any]:
    return spec("", value, LABEL, name="script", type="script", payload={"sourceCode": code, "input": {"value": value}})


def run_what_needs_no_sandbox(tour: AgentTour) -> None:
    """A task that gives its input back, small and large: the large one's payload and result are blobs."""
    tour.submit("small", whole("small", 1))
    tour.submit("large", whole("large", LARGE, name="big"))
    tour.until(list(tour.told), "succeeded")


def run_scripts(tour: AgentTour) -> None:
    """One that fails once, and one under which the agent is killed."""
    tour.submit("fails once", script(ONCE, 2))
    [endless] = tour.submit("endless", script(FOR_EVER, 3))
    tour.until([endless], "running", "succeeded")
    if tour.task(endless)["attempts"][-1]["number"] == 1:
        tour.kill_agent()
    tour.until(list(tour.told), "succeeded")


def forget_what_was_recorded(tour: AgentTour) -> None:
    """An agent that is stopped in good order has nothing left to say."""
    tour.submit("last", whole("last", 4))
    tour.until(list(tour.told), "succeeded")
    tour.seen_to_die(tour.agent.end(), expected=0)
    tour.start_agent()


AGENT_STEPS: tuple[Step, ...] = (run_what_needs_no_sandbox, run_scripts, forget_what_was_recorded)
