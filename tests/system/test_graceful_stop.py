"""Servers and agents that are asked to stop under load: in good time, with nothing run twice and nothing charged."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.system.fleet import GIVE_UP_SECONDS, Agent, Server

TASKS = 50
STOP_SECONDS = 10.0
NOOP = {"name": "noop", "type": "noop", "retry": {"attempts": 1}}


def sleeps(seconds: float) -> dict[str, Any]:
    payload = {"command": ["sleep", str(seconds)], "runtime": "native"}
    # Little memory each, so that all of them run at once whatever share of the machine tasks get.
    return {"name": "sleeps", "payload": payload, "limits": {"memoryMb": 64}, "retry": {"attempts": 1}}


class Stand:
    """A server, one agent with many slots, and a client of both."""

    def __init__(self, directory: Path) -> None:
        # Longer than any of these tests: a lease must not run out for another reason than the one under test.
        self.server = Server(directory, lease_seconds=120)
        self.server.start_and_wait()
        self.agent = Agent(directory, self.server, "one", slots=TASKS + 10)
        self.agent.join()
        self.node = self.agent.wait_until_online()
        self.client = httpx.Client(base_url=self.server.url, trust_env=False, timeout=30)

    def submit(self, *specs: dict[str, Any]) -> list[str]:
        answer = self.client.post("/api/tasks", json=list(specs)).raise_for_status()
        return [task["id"] for task in answer.json()]

    def task(self, task: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/api/tasks/{task}").raise_for_status().json()
        return found

    def states(self) -> dict[tuple[str, int], int]:
        """How many tasks there are by state and attempt."""
        counted: dict[tuple[str, int], int] = {}
        path: str | None = "/api/tasks?limit=1000"
        while path is not None:
            answer = self.client.get(path).raise_for_status()
            for task in answer.json():
                key = (task["state"], task["attempt"])
                counted[key] = counted.get(key, 0) + 1
            path = answer.links.get("next", {}).get("url")
        return counted

    def until(self, states: dict[tuple[str, int], int]) -> None:
        """Until the tasks are in exactly these states."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while (now := self.states()) != states:
            assert time.monotonic() < deadline, now
            time.sleep(0.05)

    def close(self) -> None:
        self.client.close()
        self.agent.kill()
        self.server.kill()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path)
    try:
        missing = stand.client.get(f"/api/nodes/{stand.node}").json()["specs"]["missing"]
        if "native" in missing:
            pytest.skip(f"native programs do not run here: {missing['native']}")
        yield stand
    finally:
        stand.close()


class Intake(threading.Thread):
    """Submits tasks that do nothing, without a pause, until the server is gone; counts the acknowledged ones."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.acknowledged = 0

    def run(self) -> None:
        with httpx.Client(base_url=self._url, trust_env=False, timeout=30) as client:
            while True:
                try:
                    answer = client.post("/api/tasks", json=[NOOP] * 5)
                except httpx.TransportError:
                    return
                if answer.status_code != 201:
                    assert answer.status_code == 503, answer.text
                    return
                self.acknowledged += len(answer.json())


def test_a_server_asked_to_stop_with_fifty_tasks_running_and_more_coming_in_is_gone_soon_and_nothing_runs_twice(
    stand: Stand,
) -> None:
    stand.submit(*[sleeps(6)] * TASKS)
    stand.until({("running", 1): TASKS})
    intakes = [Intake(stand.server.url) for _ in range(4)]
    for intake in intakes:
        intake.start()
    time.sleep(1)  # under load: there is nothing to wait for
    begun = time.monotonic()
    assert stand.server.stop() == 0
    assert time.monotonic() - begun < STOP_SECONDS
    for intake in intakes:
        intake.join(GIVE_UP_SECONDS)
    acknowledged = sum(intake.acknowledged for intake in intakes)
    assert acknowledged > 0

    stand.server.start_and_wait()
    deadline = time.monotonic() + GIVE_UP_SECONDS
    now = stand.states()
    while {state for state, _ in now} != {"succeeded"}:
        assert time.monotonic() < deadline, now
        time.sleep(0.1)
        now = stand.states()
    assert set(now) == {("succeeded", 1)}, "an attempt above 1 is one that ran twice, or was handed out for nothing"
    assert now["succeeded", 1] >= TASKS + acknowledged


def test_a_node_that_drains_finishes_what_it_has_and_one_that_stops_gives_it_back_uncharged(stand: Stand) -> None:
    stand.submit(*[sleeps(2)] * TASKS)
    stand.until({("running", 1): TASKS})
    assert stand.client.post(f"/api/nodes/{stand.node}/drain").json()["status"] == "draining"
    waiting = stand.submit(*[sleeps(60)] * TASKS)
    stand.until({("succeeded", 1): TASKS, ("queued", 0): TASKS})

    stand.client.post(f"/api/nodes/{stand.node}/resume").raise_for_status()
    stand.until({("succeeded", 1): TASKS, ("running", 1): TASKS})
    begun = time.monotonic()
    assert stand.agent.stop() == 0
    assert time.monotonic() - begun < STOP_SECONDS
    stand.until({("succeeded", 1): TASKS, ("queued", 1): TASKS})
    task = stand.task(waiting[0])
    assert task["retry"]["attempts"] == 1
    assert [attempt["outcome"] for attempt in task["attempts"]] == ["released"]
