"""What the owner of a machine decided holds, whatever is asked of it: real tasks on a real agent."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.system.fleet import GIVE_UP_SECONDS, Agent, Server

SHARE_MIB = 512
BURN_SECONDS = 1.5
SPAN = """
const began = Date.now();
while (Date.now() - began < input) {}
return [began, Date.now()];
"""
BURN = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        until = time.monotonic() + {seconds}
        while time.monotonic() < until:
            pass
        os._exit(0)
for _ in range(3):
    os.wait()
"""


class Stand:
    """A server, and an agent whose owner shares one core, some memory, three runtimes and no network."""

    def __init__(self, directory: Path) -> None:
        self.server = Server(directory, lease_seconds=30)
        shares = ["--runtimes", "isolate,wasm,native", "--ram", f"{SHARE_MIB}MiB", "--cpus", "1"]
        self.agent = Agent(directory, self.server, "one", *shares, slots=4)
        self.node = ""
        self.client = httpx.Client(base_url=self.server.url, trust_env=False, timeout=60)

    def open(self) -> None:
        self.server.start_and_wait()
        self.agent.join()
        self.node = self.agent.wait_until_online()

    def submit(self, payload: dict[str, Any], **limits: object) -> str:
        spec = {"name": "t", "payload": payload, "limits": limits, "retry": {"attempts": 1}}
        task: str = self.client.post("/api/tasks", json=spec).raise_for_status().json()["id"]
        return task

    def result(self, task: str) -> Any:
        found = self.client.get(f"/api/tasks/{task}/result?wait=50").raise_for_status().json()
        assert found["state"] == "succeeded", found
        return found["result"]

    def cpu_seconds(self, task: str) -> float:
        used: float = self.client.get(f"/api/tasks/{task}").raise_for_status().json()["usage"]["cpuSeconds"]
        return used

    def why(self, task: str) -> str:
        """What the node says to a task it does not take."""
        told = self.client.get(f"/api/tasks/{task}/why").raise_for_status().json()["nodes"]
        unmet: dict[str, str] = {one["nodeId"]: one["unmet"] for one in told}
        return unmet[self.node]

    def close(self) -> None:
        self.client.close()
        for program in (self.agent, self.server):
            if program.process is not None:
                program.stop()


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    stand = Stand(tmp_path_factory.mktemp("policy"))
    try:
        stand.open()
        yield stand
    finally:
        stand.close()


def test_a_node_shows_what_its_owner_offers_and_the_agent_says_it_in_a_line(stand: Stand) -> None:
    node = stand.client.get(f"/api/nodes/{stand.node}").raise_for_status().json()
    assert (node["specs"]["cores"], node["specs"]["ram"], node["slots"]) == (1, 0.5, 4)
    assert node["specs"]["missing"]["python"] == "its owner does not offer it (setting: runtimes)"
    [line] = [line for line in stand.agent.said().splitlines() if "offering" in line]
    assert "isolate (" in line
    assert "4 slots, 1 core (held by " in line
    assert "0.5 GiB of RAM, no network" in line


def test_two_tasks_that_need_more_than_the_share_of_memory_together_run_one_after_the_other(stand: Stand) -> None:
    def run(memory_mib: int, milliseconds: int) -> tuple[list[int], list[int]]:
        payload = {"sourceCode": SPAN, "input": milliseconds}
        first, second = (stand.submit(payload, memoryMb=memory_mib) for _ in range(2))
        early, late = sorted([stand.result(first), stand.result(second)])
        return early, late

    early, late = run(SHARE_MIB * 6 // 10, 300)
    assert late[0] >= early[1]
    early, late = run(SHARE_MIB * 4 // 10, 1000)
    assert late[0] < early[1], "two that fit together are to run together"


def test_one_core_is_all_that_tasks_of_any_runtime_get_together(stand: Stand) -> None:
    burn = {"sourceCode": SPAN, "input": BURN_SECONDS * 1000}
    payloads = [burn, burn]
    node = stand.client.get(f"/api/nodes/{stand.node}").raise_for_status().json()
    if "native" in node["specs"]["runtimes"]:
        script = BURN.format(seconds=BURN_SECONDS)
        payloads.append({"sourceCode": script, "runtime": "native", "language": "python"})
    stand.result(stand.submit({"sourceCode": "return 1"}, memoryMb=64))
    began = time.monotonic()
    tasks = [stand.submit(payload, memoryMb=128) for payload in payloads]
    for task in tasks:
        stand.result(task)
    span = time.monotonic() - began
    used = sum(stand.cpu_seconds(task) for task in tasks)
    assert used <= 1.1 * span, (used, span)
    assert used > 0.1, "nobody burnt anything"


@pytest.mark.parametrize(
    ("payload", "limits", "why"),
    [
        (
            {"sourceCode": "return 1"},
            {"memoryMb": SHARE_MIB + 1},
            f"offers a task {SHARE_MIB} MiB of the {SHARE_MIB + 1} asked for",
        ),
        (
            {"sourceCode": "1", "runtime": "python"},
            {},
            "has no runtime python: its owner does not offer it (setting: runtimes)",
        ),
        ({"command": ["true"], "runtime": "native", "network": True}, {}, "gives tasks no network"),
    ],
    ids=["memory", "runtime", "network"],
)
def test_what_the_owner_does_not_offer_is_never_placed_and_the_task_is_told_why(
    stand: Stand, payload: dict[str, Any], limits: dict[str, Any], why: str
) -> None:
    task = stand.submit(payload, **limits)
    if payload.get("runtime") == "native" and "has no runtime native" in stand.why(task):
        pytest.skip("this machine cannot confine native tasks, so there is none to give the network to")
    assert stand.why(task) == why
    assert stand.client.get(f"/api/tasks/{task}").json()["attempt"] == 0


def test_a_default_limit_above_the_share_is_cut_to_it(stand: Stand) -> None:
    node = stand.client.get(f"/api/nodes/{stand.node}").raise_for_status().json()
    if "native" not in node["specs"]["runtimes"]:
        pytest.skip("this machine cannot confine native tasks, whose default limit is the only one above the share")
    hog = "x = bytearray(700 * 1024 * 1024)\nfor at in range(0, len(x), 4096):\n    x[at] = 1\n"
    task = stand.submit({"sourceCode": hog, "runtime": "native", "language": "python"})
    found = stand.client.get(f"/api/tasks/{task}/result?wait=50").raise_for_status().json()
    assert (found["state"], found["reason"]["code"]) == ("failed", "memory_limit"), found
    assert str(SHARE_MIB) in found["reason"]["message"]


def test_an_agent_with_nothing_to_offer_says_so_and_is_given_nothing(stand: Stand, tmp_path: Path) -> None:
    bare = Agent(tmp_path, stand.server, "bare", "--runtimes", "", "--allow-network", slots=1)
    bare.join()
    try:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while "offering" not in bare.said():
            assert time.monotonic() < deadline, bare.said()
            time.sleep(0.05)
        assert "offering no runtime" in bare.said()
        assert "network for tasks that ask" in bare.said()
    finally:
        bare.stop()
