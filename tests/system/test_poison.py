"""Tasks that take agents down, and agents that go down with every task: real ones, killed while they run them."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.system.fleet import GIVE_UP_SECONDS, Agent, Server

WAITS = "while (true);"


class Stand:
    """A server with agents, and a few words of its API."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server = Server(directory)
        self._server.start_and_wait()
        self._client = httpx.Client(base_url=self._server.url, trust_env=False, timeout=30)
        self._agents: list[Agent] = []

    def agent(self, name: str) -> Agent:
        agent = Agent(self._directory, self._server, name, slots=1)
        self._agents.append(agent)
        agent.join()
        return agent

    def submit(self, code: str, **retry: float) -> str:
        spec = {"name": "t", "payload": {"sourceCode": code}, "limits": {"timeoutSeconds": 60}, "retry": retry}
        task: str = self._client.post("/api/tasks", json=spec).raise_for_status().json()["id"]
        return task

    def get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.get(path).raise_for_status().json()
        return found

    def post(self, path: str) -> None:
        self._client.post(path).raise_for_status()

    def until(self, path: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What is at this path, as soon as it fits."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while not fits(found := self.get(path)):
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    def close(self) -> None:
        self._client.close()
        for agent in self._agents:
            agent.kill()
        self._server.kill()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path)
    yield stand
    stand.close()


def _runs(attempt: int, task: dict[str, Any]) -> bool:
    return (task["state"], task["attempt"]) == ("running", attempt)


def test_a_task_whose_agents_die_stops_after_three_nodes(stand: Stand) -> None:
    agents = [stand.agent(name) for name in ("one", "two", "three")]
    by_node = {agent.wait_until_online(): agent for agent in agents}
    task = f"/api/tasks/{stand.submit(WAITS, attempts=10, backoffSeconds=0.01)}"
    for attempt in (1, 2, 3):
        running = stand.until(task, partial(_runs, attempt))
        by_node[running["nodeId"]].kill()
    done = stand.until(task, lambda task: task["state"] == "failed")
    assert done["reason"]["code"] == "poison"
    assert [attempt["outcome"] for attempt in done["attempts"]] == ["lost"] * 3
    assert {attempt["nodeId"] for attempt in done["attempts"]} == set(by_node)
    assert {stand.get(f"/api/nodes/{node}")["status"] for node in by_node} <= {"online", "offline"}


def test_an_agent_that_dies_with_three_tasks_in_a_row_is_quarantined_until_it_is_resumed(stand: Stand) -> None:
    agent = stand.agent("one")
    node = f"/api/nodes/{agent.wait_until_online()}"
    for _ in range(3):
        assert stand.get(node)["status"] in {"online", "offline"}
        task = f"/api/tasks/{stand.submit(WAITS, attempts=1)}"
        stand.until(task, lambda task: task["state"] == "running")
        agent.kill()
        agent.start()
        stand.until(task, lambda task: task["state"] == "failed")
    quarantined = stand.until(node, lambda node: node["status"] == "quarantined")
    assert "anchor node resume" in quarantined["reason"]["hint"]

    waits = f"/api/tasks/{stand.submit('return 42', attempts=1)}"
    stand.until(node, lambda node: node["seenAt"] > quarantined["seenAt"])
    assert stand.get(waits)["state"] == "queued"
    assert stand.get(f"{waits}/why")["reason"]["code"] == "nodes_quarantined"
    stand.post(f"{node}/resume")
    assert stand.until(waits, lambda task: task["state"] == "succeeded")["nodeId"] == quarantined["nodeId"]
    assert stand.get(node)["status"] == "online"


def test_a_task_that_fails_twenty_times_leaves_its_node_in_service(stand: Stand) -> None:
    node = f"/api/nodes/{stand.agent('one').wait_until_online()}"
    task = f"/api/tasks/{stand.submit('throw new Error(anchor.attempt)', attempts=20, backoffSeconds=0)}"
    done = stand.until(task, lambda task: task["state"] == "failed")
    assert (done["reason"]["code"], len(done["attempts"])) == ("script_error", 20)
    assert stand.get(node)["status"] == "online"
