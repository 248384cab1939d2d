"""A word count over real agents, whose server and agent are killed while it runs: nothing is lost or counted twice."""

import hashlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from tests.system.fleet import GIVE_UP_SECONDS, Agent, Server

CODE = """
function map(text) {
  const counts = new Map();
  for (const word of text.split(/\\s+/)) if (word) counts.set(word, (counts.get(word) || 0) + 1);
  return counts;
}
function reduce(word, counts) { return counts.reduce((sum, count) => sum + count, 0); }
"""


def text_of(megabytes: int) -> bytes:
    dice = random.Random(3)
    words = [f"{number:x}" for number in range(20_000)]
    weights = [1 / (at + 1) for at in range(len(words))]
    page = "\n".join(" ".join(dice.choices(words, weights, k=12)) for _ in range(15_000)).encode() + b"\n"
    return page * (megabytes * 1_000_000 // len(page) + 1)


def until(server: Server, path: str, fits: Callable[[Any], bool]) -> Any:
    """What is at a path as soon as it is as wanted; a server that is down is waited for."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    view: Any = None
    with httpx.Client(base_url=server.url, trust_env=False, timeout=10) as client:
        while time.monotonic() < deadline:
            try:
                view = client.get(path).json()
                if fits(view):
                    return view
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    raise AssertionError(view)


def test_words_are_counted_right_though_server_and_agent_are_killed(tmp_path: Path) -> None:
    server = Server(tmp_path)
    agents = [Agent(tmp_path, server, name, slots=1) for name in ("one", "two")]
    try:
        server.start_and_wait()
        for agent in agents:
            agent.join()
        for agent in agents:
            agent.wait_until_online()
        content = text_of(4)
        digest = hashlib.sha256(content).hexdigest()
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
            client.put(f"/api/blobs/{digest}", content=content).raise_for_status()
            payload = {"sourceCode": CODE}
            wish = {
                "name": "words",
                "input": {"blob": f"sha256:{digest}", "chunkMb": 0.2},
                "map": payload,
                "reduce": payload,
            }
            job = "/api/mapreduce/" + client.post("/api/mapreduce", json=wish).raise_for_status().json()["id"]
        until(server, job, lambda view: view["phases"][0]["done"] >= 3)
        server.kill()
        agents[0].kill()
        server.start_and_wait()
        agents[0].start()
        until(server, job, lambda view: view["phases"][0]["state"] == "succeeded")
        server.kill()
        server.start_and_wait()
        view = until(server, job, lambda view: view["state"] != "running")
        assert view["state"] == "succeeded", view
        pairs = view["result"]["result"]
        if pairs is None:
            blob = view["result"]["resultBlob"].removeprefix("sha256:")
            pairs = httpx.get(f"{server.url}/api/blobs/{blob}", trust_env=False).json()
        counts = Counter(content.decode().split())
        assert [key for key, _ in pairs] == sorted(counts)
        assert dict(pairs) == dict(counts)
    finally:
        for program in (*agents, server):
            program.kill()


def test_an_item_whose_machine_stands_still_is_answered_by_another_one_and_counted_once(tmp_path: Path) -> None:
    server = Server(tmp_path, lease_seconds=120)
    agents = [Agent(tmp_path, server, name, slots=1) for name in ("still", "quick")]
    try:
        server.start_and_wait()
        for agent in agents:
            agent.join()
        still, _ = [agent.wait_until_online() for agent in agents]
        # It has its lease for long and an open slot: it is given one item, and says nothing of it.
        os.kill(agents[0].pid, signal.SIGSTOP)
        wide = {
            "id": "wide",
            "type": "parallel",
            "items": list(range(8)),
            "payload": {"sourceCode": "return 10 * input"},
        }
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
            graph = {"name": "tail", "steps": [wide]}
            run = client.post("/api/dags", json=graph).raise_for_status().json()["id"]
            view = until(server, f"/api/dags/{run}", lambda view: view["state"] != "running")
            [step] = view["stepList"]
            result = f"/api/tasks/{step['taskId']}/result"
            assert client.get(result).json()["result"] == [10 * item for item in range(8)]
            os.kill(agents[0].pid, signal.SIGCONT)
            cancelled = until(server, "/api/tasks?state=cancelled", lambda rows: len(rows) == 1)
            assert cancelled[0]["nodeId"] == still, cancelled
            counts = [row["name"] for row in client.get("/api/tasks?state=succeeded&limit=100").json()]
            assert len([name for name in counts if name.startswith("wide [")]) == 8, counts
            assert client.get(result).json()["result"] == [10 * item for item in range(8)]
    finally:
        for program in (*agents, server):
            program.kill()
