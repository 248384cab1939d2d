"""What nodes and servers do to the tasks they hold: real processes, one event a test."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.system.fleet import GIVE_UP_SECONDS, Agent, Server, free_port, wait_for_port

from anchor.core.ids import KeySequence, key_of

CODE = "const end = Date.now() + (anchor.attempt === 1 ? input : 0); while (Date.now() < end); return anchor.attempt"
BRIEF = {"name": "brief", "payload": {"sourceCode": CODE, "input": 4000}}
"""Its first attempt runs for four seconds."""
LONG = {
    "name": "long",
    "payload": {"sourceCode": CODE, "input": 28_000},
    "retry": {"attempts": 3, "backoffSeconds": 0.1},
}
"""Its first attempt outlasts everything a test does meanwhile; any other ends at once."""


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(tmp_path, lease_seconds=getattr(request, "param", 3))
    server.start_and_wait()
    yield server
    server.kill()


@pytest.fixture
def new_agent(tmp_path: Path, server: Server) -> Iterator[Callable[[str], Agent]]:
    agents: list[Agent] = []

    def make(name: str) -> Agent:
        agent = Agent(tmp_path, server, name)
        agents.append(agent)
        agent.join()
        agent.node = agent.wait_until_online()
        return agent

    yield make
    for agent in agents:
        agent.kill()


class Client:
    """A few words of the REST API."""

    def __init__(self, server: Server) -> None:
        self._url = server.url

    def submit(self, spec: dict[str, Any]) -> str:
        answer = httpx.post(f"{self._url}/api/tasks", json=spec, trust_env=False)
        task: str = answer.raise_for_status().json()["id"]
        return task

    def post(self, path: str) -> httpx.Response:
        return httpx.post(f"{self._url}{path}", trust_env=False)

    def task(self, task: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self._url}/api/tasks/{task}", trust_env=False).raise_for_status().json()
        return found

    def until(self, task: str, *states: str) -> dict[str, Any]:
        """The task, as soon as it is in one of these states."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        found: dict[str, Any] = {}
        while time.monotonic() < deadline:
            try:
                found = self.task(task)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            if found["state"] in states:
                return found
            time.sleep(0.02)
        raise AssertionError(f"not {states} within {GIVE_UP_SECONDS} s: {found}")


@pytest.fixture
def client(server: Server) -> Client:
    return Client(server)


@pytest.mark.parametrize("server", [60], indirect=True, ids=["a lease longer than the restart"])
def test_an_attempt_outlives_the_server_it_was_leased_by(
    server: Server, new_agent: Callable[[str], Agent], client: Client
) -> None:
    new_agent("one")
    task = client.submit(BRIEF)
    client.until(task, "running")
    server.kill()
    server.start_and_wait()
    done = client.until(task, "succeeded", "failed")
    assert (done["state"], done["result"]) == ("succeeded", 1)
    assert len(done["attempts"]) == 1


def test_a_killed_agents_task_is_tried_elsewhere(new_agent: Callable[[str], Agent], client: Client) -> None:
    first = new_agent("one")
    task = client.submit(LONG)
    client.until(task, "running")
    second = new_agent("two")
    first.kill()
    done = client.until(task, "succeeded", "failed")
    assert (done["state"], done["result"], done["nodeId"]) == ("succeeded", 2, second.node)
    assert [attempt["outcome"] for attempt in done["attempts"]] == ["lost", "succeeded"]


def test_a_killed_agent_that_returns_reports_its_crash_at_once(
    new_agent: Callable[[str], Agent], client: Client
) -> None:
    agent = new_agent("one")
    task = client.submit(LONG)
    client.until(task, "running")
    agent.kill()
    agent.start()
    done = client.until(task, "succeeded", "failed")
    assert (done["state"], done["result"]) == ("succeeded", 2)
    assert done["attempts"][0]["outcome"] in {"crashed", "lost"}
    assert done["attempts"][0]["reason"]["message"]


def test_a_stopped_agent_gives_its_task_back_uncharged(new_agent: Callable[[str], Agent], client: Client) -> None:
    first = new_agent("one")
    task = client.submit(LONG | {"retry": {"attempts": 1}})
    client.until(task, "running")
    second = new_agent("two")
    assert first.stop() == 0
    done = client.until(task, "succeeded", "failed")
    assert (done["state"], done["nodeId"]) == ("succeeded", second.node)
    assert [attempt["outcome"] for attempt in done["attempts"]] == ["released", "succeeded"]


def test_cancelling_stops_what_runs(new_agent: Callable[[str], Agent], client: Client) -> None:
    new_agent("one")
    task = client.submit(LONG)
    client.until(task, "running")
    begun = time.monotonic()
    assert client.post(f"/api/tasks/{task}/cancel").status_code == 202
    done = client.until(task, "cancelled")
    assert time.monotonic() - begun < 20
    assert done["reason"]["code"] == "cancelled"


def test_a_drained_node_finishes_what_it_has_and_gets_no_more(
    new_agent: Callable[[str], Agent], client: Client
) -> None:
    agent = new_agent("one")
    task = client.submit(BRIEF)
    client.until(task, "running")
    assert client.post(f"/api/nodes/{agent.node}/drain").json()["status"] == "draining"
    waits = client.submit({"name": "waits", "type": "noop"})
    client.until(task, "succeeded")
    assert client.task(waits)["state"] == "queued"
    client.post(f"/api/nodes/{agent.node}/resume")
    client.until(waits, "succeeded")


def test_a_second_server_on_the_same_data_directory_is_refused(server: Server) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "anchor", "server", "--port", "0", "--data", str(server.data)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 5
    assert str(server.data) in second.stderr
    assert "Traceback" not in second.stderr


def test_a_server_stops_cleanly_on_sigterm(server: Server) -> None:
    assert server.stop() == 0


def test_a_server_whose_clock_was_set_back_says_so_and_goes_on(server: Server, client: Client) -> None:
    server.kill()
    with sqlite3.connect(server.data / "anchor.db") as database:
        tomorrow = KeySequence(0).take(1, now_ms=time.time_ns() // 1_000_000 + 86_400_000)[0]
        database.execute("INSERT OR REPLACE INTO marks (name, value) VALUES ('last_key', ?)", (tomorrow,))
    database.close()
    server.start_and_wait()
    health = httpx.get(f"{server.url}/health", trust_env=False).json()
    assert [problem["code"] for problem in health["problems"]] == ["clock_behind"]
    assert key_of("task", client.submit({"name": "later", "type": "noop"})) > tomorrow


def test_an_agent_pointed_at_something_else_says_so(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.mkdir()
    (page / "health").write_text("<html>hello</html>")
    port = free_port()
    other = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(page)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        agent = subprocess.run(
            [sys.executable, "-m", "anchor", "agent", f"http://127.0.0.1:{port}", "--data", str(tmp_path / "data")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        other.kill()
        other.wait()
    assert agent.returncode != 0
    assert "not an Anchor server" in agent.stderr
    assert "Traceback" not in agent.stderr


def test_a_blocked_node_loses_its_work_uncharged_and_works_again_once_it_is_taken_back(
    new_agent: Callable[[str], Agent], client: Client
) -> None:
    first = new_agent("one")
    task = client.submit(LONG | {"retry": {"attempts": 1}})
    client.until(task, "running")
    second = new_agent("two")
    assert client.post(f"/api/nodes/{first.node}/block").json()["status"] == "blocked"
    done = client.until(task, "succeeded", "failed")
    assert (done["state"], done["nodeId"]) == ("succeeded", second.node)
    assert [attempt["outcome"] for attempt in done["attempts"]] == ["released", "succeeded"]
    first.wait_until_it_says("is blocked")
    assert client.post(f"/api/nodes/{second.node}/block").json()["status"] == "blocked"
    again = client.submit(BRIEF | {"payload": {"sourceCode": "return 1"}})
    assert client.post(f"/api/nodes/{first.node}/resume").is_success
    done = client.until(again, "succeeded")
    assert done["nodeId"] == first.node
